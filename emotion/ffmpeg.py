"""Take a clip apart with the operator's own `ffmpeg` program. Called in `emotion.decoder`'s limited child only.

The clip is handed over in memory, never on a disk. One demuxer, chosen by the first bytes, one thread, no network: the
program inherits the child's limits on memory and CPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np

SOUND_HZ = 48_000
PATIENCE_S = 100.0
FIRST_OF_EACH_SECOND = "select='isnan(prev_selected_t)+gt(floor(t),floor(prev_selected_t))'"


class Failed(Exception):
    """The program gave nothing that can be used."""


class NoStream(Failed):
    """There is no such stream in the file."""


def find() -> str | None:
    return shutil.which("ffmpeg")


def frames(
    program: str, data: bytes, demuxer: str, height: int, most_pixels: int, longest_s: float
) -> list[np.ndarray]:
    """The first frame of each second, upright, (h, w, 3) uint8 with the shorter side at most `height`.

    Of a clip that is longer than `longest_s` there are at least two frames more than that. Raises `Failed`.
    """
    factor = f"max(1,min(iw,ih)/{height})"
    scaled = f"scale=w=trunc(iw/{factor}):h=trunc(ih/{factor})".replace(",", "\\,")
    picked = ["-map", "0:v:0", "-vf", f"{FIRST_OF_EACH_SECOND},{scaled}", "-fps_mode", "vfr"]
    out = ["-c:v", "ppm", "-f", "image2pipe", "pipe:1"]
    limits = ["-max_pixels", str(most_pixels)]
    found = _pictures(_run(program, data, demuxer, limits, longest_s, [*picked, *out]))
    if not found:
        raise Failed("no frame")
    return found


def sound(program: str, data: bytes, demuxer: str, longest_s: float) -> np.ndarray:
    """(N,) float32 mono at `SOUND_HZ`; empty without a sound track. Raises `Failed`."""
    out = ["-map", "0:a:0", "-ac", "1", "-ar", str(SOUND_HZ), "-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
    try:
        return np.frombuffer(_run(program, data, demuxer, [], longest_s, out), np.float32)
    except NoStream:
        return np.zeros(0, np.float32)


def _run(program: str, data: bytes, demuxer: str, limits: list[str], longest_s: float, out: list[str]) -> bytes:
    file = os.memfd_create("clip")
    try:
        with os.fdopen(os.dup(file), "wb") as writing:
            writing.write(data)
        source = ["-protocol_whitelist", "file", "-f", demuxer, "-t", str(longest_s + 2), *limits]
        command = [program, "-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1", *source]
        command += ["-i", f"file:/proc/self/fd/{file}", "-threads", "1", *out]
        ran = subprocess.run(command, capture_output=True, pass_fds=[file], timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Failed(type(problem).__name__) from problem
    finally:
        os.close(file)
    if ran.returncode:
        raise NoStream if b"matches no streams" in ran.stderr else Failed("ffmpeg gave up")
    return ran.stdout


def _pictures(data: bytes) -> list[np.ndarray]:
    """Netpbm P6 pictures, one after the other."""
    found, at = [], 0
    while at < len(data):
        head = data[at : at + 40].split(None, 4)
        if len(head) < 5 or head[0] != b"P6":
            raise Failed("not a picture")
        width, height = int(head[1]), int(head[2])
        start = data.index(b"255\n", at) + 4
        size = width * height * 3
        if start + size > len(data):
            raise Failed("a picture breaks off")
        found.append(np.frombuffer(data, np.uint8, size, start).reshape(height, width, 3))
        at = start + size
    return found
