"""The hostile files of `tests.emotion` as uploads: at the gate, and in a worker where the gate lets them in."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from emotion import decoder
from mhealth.checkins import intake, recognisers
from mhealth.checkins.reasons import ADVICE, Unreadable
from mhealth.platform.problems import Problem
from tests.checkins import samples
from tests.emotion import hostile, usage
from tests.emotion.hostile import Hostile

SEED = 20261121
HOSTILE_NAMES = [
    "../../../../etc/cron.d/evil",
    "..\\..\\windows\\system32\\evil.dll",
    "/etc/passwd",
    "C:\\evil.exe",
    "a\0b.jpg",
    "%2e%2e%2fevil",
    "face.jpg; rm -rf ~",
    "$(touch evil)",
    "CON",
    ".htaccess",
    "x" * 5_000,
    "пароль\u202egpj.exe",
    "<script>alert(1)</script>.png",
    "\r\nSet-Cookie: evil=1",
]


def outcome(file: Hostile) -> tuple[str, str]:
    """Where it ended and how: at the gate with the kind of problem, or read, or with the reason why not."""
    try:
        part = intake.photo(file.data) if file.kind == "face" else intake.voice(file.data)
    except Problem as problem:
        return "gate", problem.default_code
    try:
        recognisers.read(file.kind, part.content)
        return "worker", "read"
    except Unreadable as problem:
        return "worker", problem.code


def all_cpu_s() -> float:
    """Of this process and its decoding child."""
    child = recognisers._decoder()._child
    return usage.cpu_s() + (usage.cpu_s(child.pid) if child else 0.0)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the same on every database: once is enough")
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_no_hostile_upload_breaks_the_gate_or_the_worker(capsys, monkeypatch):
    """Each is refused, unusable with a reason that has advice, or read; within 500 MB and 5 s of CPU for both."""
    monkeypatch.setattr(decoder, "PATIENCE_S", 300.0)  # a busy test machine is no fault of the file's
    recognisers.warm_up()
    count, cpu_s, more_bytes = Counter(), {}, {}
    for file in hostile.corpus(SEED):
        usage.forget_peak()
        before_s, before_bytes = all_cpu_s(), usage.resident_bytes()
        count[(file.kind, *outcome(file))] += 1
        cpu_s[str(file)], more_bytes[str(file)] = all_cpu_s() - before_s, usage.peak_bytes() - before_bytes
    with capsys.disabled():
        told = ", ".join(f"{' '.join(what)} {number}" for what, number in sorted(count.items()))
        sys.stdout.write(
            f"\n{count.total()} hostile uploads: {told}; "
            f"at most {max(cpu_s.values()):.2f} s of CPU and {max(more_bytes.values()) / 2**20:.0f} MB\n"
        )
    assert count.total() >= 200
    assert {how for _, where, how in count if where == "gate"} == {"unsupported-media-type", "too-large"}
    assert {how for _, where, how in count if where == "worker"} <= {*ADVICE, "read"}
    assert {name: used for name, used in cpu_s.items() if used >= usage.MOST_CPU_S} == {}
    assert {name: more for name, more in more_bytes.items() if more >= usage.MOST_BYTES} == {}


@pytest.mark.parametrize("segments", [900, 1_100])
def test_a_photo_of_a_thousand_segments_is_refused_and_one_of_fewer_is_not(segments):
    whole = samples.photo()
    data = whole[:2] + b"\xff\xe5\0\2" * segments + whole[2:]
    if segments < 1_000:
        assert b"\xff\xe5" not in intake.photo(data).content[:100]
    else:
        with pytest.raises(intake.UnknownType):
            intake.photo(data)


@pytest.mark.django_db
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_nothing_a_person_named_becomes_a_path(ada, phone, media_folder, tmp_path, name):
    body = samples.upload()
    body["face"] = SimpleUploadedFile("face", samples.photo())
    body["face"].name = name  # past the cleaning that Django's class does
    before = {*Path.cwd().iterdir()}
    answer = phone(ada).post("/api/v1/check-ins/", body, format="multipart")
    assert answer.status_code == 201, answer.content
    stored = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(stored) == 1
    assert stored[0].is_relative_to(media_folder)
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{32}", stored[0].relative_to(media_folder).as_posix())
    assert {*Path.cwd().iterdir()} == before
    assert "evil" not in answer.content.decode()
