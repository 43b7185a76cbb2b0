"""What one check-in costs: `python -m tests.journeys.measure_check_in` prints one line of JSON.

A fresh worker process on one core takes in the settings and tasks as a worker of a deployment does, warms up, and
reads the same photo and recording again and again through the product's own seam, the decoder's child included.
"""

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

MEDIA = Path(__file__).parents[2] / "fixtures" / "media"
PHOTO_SIZE = (4000, 3000)  # 12 megapixels
RECORDING_S = 10
PHONE_RATE_HZ = 48_000
REPEATS = 20
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def photo() -> bytes:
    """The shipped portrait in a picture of 12 megapixels, as large as its height allows."""
    from PIL import Image

    with Image.open(MEDIA / "astronaut.jpg") as portrait:
        large = portrait.resize((PHOTO_SIZE[1], PHOTO_SIZE[1]), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", PHOTO_SIZE, (96, 104, 112))
    picture.paste(large, ((PHOTO_SIZE[0] - PHOTO_SIZE[1]) // 2, 0))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=92)
    return out.getvalue()


def recording() -> bytes:
    """The shipped sentence, begun anew until ten seconds are full, at the rate at which phones record."""
    import numpy as np
    import soundfile
    from scipy.signal import resample_poly

    samples, rate_hz = soundfile.read(MEDIA / "librivox.wav")
    filled = np.resize(samples, RECORDING_S * rate_hz)
    out = io.BytesIO()
    soundfile.write(out, resample_poly(filled, PHONE_RATE_HZ, rate_hz), PHONE_RATE_HZ, format="WAV", subtype="PCM_16")
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.repeats)
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "face").write_bytes(photo())
        Path(folder, "voice").write_bytes(recording())
        command = [sys.executable, "-m", __spec__.name, "--worker", folder, "--repeats", str(given.repeats)]
        more = {"DJANGO_SETTINGS_MODULE": "tests.settings", "OMP_NUM_THREADS": "1", "STARTED_AT": str(time.time())}
        subprocess.run(command, env=os.environ | more, check=True)


def work(folder: Path, repeats: int) -> None:
    """The worker's life: start, warm up, read."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    recognisers = start_as_worker()
    cold = {"cold_start_cpu_s": cpu_s(recognisers), "cold_start_wall_s": time.time() - float(os.environ["STARTED_AT"])}
    parts = {kind: Path(folder, kind).read_bytes() for kind in ("face", "voice")}
    first, costs = one_check_in(recognisers, parts), []
    for _ in range(repeats):
        costs.append(one_check_in(recognisers, parts))
    sys.stdout.write(json.dumps(report(parts, cold, first, costs) | memory(recognisers)) + "\n")


def start_as_worker():
    import django

    django.setup()
    from mhealth.celery import app

    app.loader.import_default_modules()  # every room's tasks, as `celery worker` imports them
    from mhealth.checkins import recognisers

    recognisers.warm_up()
    return recognisers


def one_check_in(recognisers, parts: dict[str, bytes]) -> dict:
    """CPU and wall seconds by modality and together, and what was read."""
    from emotion.fusion import fuse
    from emotion.reliability import Reliability
    from mhealth.checkins.reasons import Unreadable

    cost, estimates, unread = {}, {}, {}
    began, wall_began = cpu_s(recognisers), time.monotonic()
    for modality, data in parts.items():
        before = cpu_s(recognisers)
        try:
            estimates[modality] = recognisers.read(modality, data)
        except Unreadable as problem:
            unread[modality] = problem.code
        cost[modality] = cpu_s(recognisers) - before
    fuse(estimates, Reliability())
    cost |= {"cpu": cpu_s(recognisers) - began, "wall": time.monotonic() - wall_began}
    return cost | {"models": {m: e.model_version for m, e in estimates.items()}, "unread": unread}


def cpu_s(recognisers) -> float:
    """Of this process, its ended children and the decoder's child, which lives on."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    fields = Path(f"/proc/{decoder_pid(recognisers)}/stat").read_text().rpartition(")")[2].split()
    return sum(u.ru_utime + u.ru_stime for u in used) + (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def decoder_pid(recognisers) -> int:
    return recognisers._decoder()._alive().pid


def resident_mb(pid: int | str) -> float:
    line = next(row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


def memory(recognisers) -> dict:
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "worker_resident_mb": resident_mb("self"),
        "worker_peak_mb": round(peak_kb * 1024 / 1e6, 1),
        "decoder_resident_mb": resident_mb(decoder_pid(recognisers)),
    }


def report(parts: dict[str, bytes], cold: dict, first: dict, costs: list[dict]) -> dict:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "n": len(costs),
        "photo": f"{PHOTO_SIZE[0]}x{PHOTO_SIZE[1]} JPEG, {len(parts['face'])} bytes",
        "recording": f"{RECORDING_S} s WAV, {PHONE_RATE_HZ} Hz, {len(parts['voice'])} bytes",
        "models": first["models"],
        "unread": first["unread"],
        "onnxruntime": version("onnxruntime"),
        "torch_imported": "torch" in sys.modules,
        "first_cpu_s": round(first["cpu"], 3),
        **{f"{name}_{key}": value for name in ("cpu", "wall", "face", "voice") for key, value in spread(costs, name)},
        **{name: round(value, 2) for name, value in cold.items()},
        "load_average": os.getloadavg()[0],
    }


def spread(costs: list[dict], name: str) -> list[tuple[str, float]]:
    values = [cost[name] for cost in costs]
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    return [("median_s", round(statistics.median(values), 3)), ("p95_s", round(p95, 3))]


if __name__ == "__main__":
    main()
