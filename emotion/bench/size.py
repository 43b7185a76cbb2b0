"""E9: how large the served models are, how much memory reading takes, how soon a fresh process can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from emotion.bench import BenchFailed, Place
from emotion.bench.cells import Cell
from emotion.bench.pictures import PORTRAIT
from emotion.checkpoint import FOLDER

SERVED = ("face.safetensors", "face.onnx", "voice.safetensors", "voice.onnx", "text.safetensors")
DETECTOR = ("mtcnn_pnet.onnx", "mtcnn_rnet.onnx", "mtcnn_onet.onnx")
STARTS = 5

# What a process that reads one photo and one recording has spent, from its first line on, once it has read both.
READER = """
import sys, time
from pathlib import Path
from emotion.face import FaceRecogniser
from emotion.fusion import fuse
from emotion.voice import VoiceRecogniser
engine, folder = sys.argv[1], Path(sys.argv[2])
face, voice = FaceRecogniser.load(engine=engine), VoiceRecogniser.load(engine=engine)
fuse({"face": face.predict((folder / "astronaut.jpg").read_bytes()),
      "voice": voice.predict((folder / "librivox.wav").read_bytes())}, None)
status = Path("/proc/self/status").read_text()
rss_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
print('{"cpu_s": %.3f, "resident_mb": %.1f}' % (time.process_time(), rss_kb * 1024 / 1e6))
"""


def cells(quick: bool) -> list[Cell]:
    return [
        Cell("E9 size", "served models", "files", minutes=0.1),
        Cell("E9 start", "onnx", "fresh process", minutes=0.3),
        Cell("E9 start", "torch", "fresh process", minutes=0.5),
    ]


def work(cell: Cell, place: Place) -> dict[str, Any]:
    return files() if cell.bench == "E9 size" else starts(cell.method)


def files() -> dict[str, Any]:
    """Bytes of everything a check-in is read with."""
    sizes = {name: (FOLDER / name).stat().st_size for name in (*SERVED, *DETECTOR)}
    return {"bytes": sizes, "total_mb": round(sum(sizes.values()) / 1e6, 2)}


def starts(engine: str) -> dict[str, Any]:
    """Median of fresh processes that read a photo and a recording: CPU seconds until done, resident memory then."""
    runs = [_start(engine) for _ in range(STARTS)]
    return {"n": STARTS, **{key: sorted(run[key] for run in runs)[STARTS // 2] for key in ("cpu_s", "resident_mb")}}


def _start(engine: str) -> dict[str, float]:
    command = [sys.executable, "-c", READER, engine, str(PORTRAIT.parent)]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if ran.returncode:
        raise BenchFailed(f"a fresh process could not read: {ran.stderr.strip().splitlines()[-1]}")
    return json.loads(ran.stdout)


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    """Markdown: sizes, then starts."""
    told = [f"{len(lines)} of {total} cells", ""]
    for line in lines:
        if line["bench"] == "E9 size":
            told += [f"- served models: {line['total_mb']} MB"]
        else:
            told += [
                f"- {line['method']}: {line['cpu_s']} s CPU to the first check-in, {line['resident_mb']} MB resident"
            ]
    return "\n".join(told)
