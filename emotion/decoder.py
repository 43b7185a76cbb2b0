"""Decode photos and recordings from strangers in a child process with limits on memory and CPU.

A file that crashes the decoder takes the child down, not the worker. The child lives on between
files, since starting one costs a quarter of a second; pictures and samples come back as plain
bytes, never as pickles.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from emotion.video import Clip

MEMORY_BYTES = 500 * 1024 * 1024
CPU_S = {b"p": 5, b"r": 5, b"v": 30}  # photo, recording, video
PATIENCE_S = 20.0  # wall clock; a busy machine gets more of it than CPU
VIDEO_PATIENCE_S = 120.0
NO_VIDEO_DECODER = "no_video_decoder"  # neither PyAV nor ffmpeg
_LENGTH = struct.Struct(">cI")


class DecoderCrashed(Exception):
    """The child died, or ran out of memory, CPU or patience, over this file."""


class BrokenFile(Exception):
    """The child says that the file cannot be decoded. `code` is a reason of the photo or recording module."""

    def __init__(self, code: str):
        self.code = code
        super().__init__(code)


class Decoder:
    """One child process, started when needed and after every crash. Not for use by two threads at once."""

    def __init__(self) -> None:
        self._child: subprocess.Popen | None = None

    def photo(self, data: bytes) -> np.ndarray:
        """(height, width, 3) uint8, upright. Raises BrokenFile, DecoderCrashed."""
        header, body = self._ask(b"p", data)
        return np.frombuffer(body, dtype=np.uint8).reshape(header["shape"])

    def recording(self, data: bytes) -> tuple[np.ndarray, int]:
        """(N,) float32 mono, and the rate in Hz. Raises BrokenFile, DecoderCrashed."""
        header, body = self._ask(b"r", data)
        return np.frombuffer(body, dtype=np.float32), header["rate_hz"]

    def video(self, data: bytes) -> Clip:
        """One frame a second, and the sound. Raises BrokenFile, DecoderCrashed."""
        header, body = self._ask(b"v", data, VIDEO_PATIENCE_S)
        frames, at = [], 0
        for shape in header["shapes"]:
            frames.append(np.frombuffer(body, np.uint8, math.prod(shape), at).reshape(shape))
            at += math.prod(shape)
        return Clip(frames, np.frombuffer(body[at:], np.float32), header["rate_hz"])

    def close(self) -> None:
        if self._child:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _ask(self, kind: bytes, data: bytes, patience_s: float | None = None) -> tuple[dict[str, Any], bytes]:
        child = self._alive()
        assert child.stdin is not None
        assert child.stdout is not None
        deadline = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
        try:
            child.stdin.write(_LENGTH.pack(kind, len(data)) + data)
            child.stdin.flush()
            _, size = _LENGTH.unpack(_read(child.stdout, _LENGTH.size, deadline))
            header = json.loads(_read(child.stdout, size, deadline))
            body = _read(child.stdout, header.get("bytes", 0), deadline)
        except (OSError, EOFError, TimeoutError, ValueError) as end:
            self.close()
            raise DecoderCrashed from end
        if "broken" in header:
            raise BrokenFile(header["broken"])
        return header, body

    def _alive(self) -> subprocess.Popen:
        if self._child is None or self._child.poll() is not None:
            self.close()
            paths = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
            self._child = subprocess.Popen(
                [sys.executable, "-m", "emotion.decoder"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a decoder's complaints may quote the file
                # Nothing of the worker's secrets is handed to the process that reads strangers' files.
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
                bufsize=0,
            )
        return self._child


def _read(stream: IO[bytes], size: int, deadline: float) -> bytes:
    chunks = bytearray()
    while len(chunks) < size:
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        chunk = os.read(stream.fileno(), min(size - len(chunks), 1 << 20))
        if not chunk:
            raise EOFError
        chunks += chunk
    return bytes(chunks)


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while head := requests.read(_LENGTH.size):
        kind, size = _LENGTH.unpack(head)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + CPU_S[kind], resource.RLIM_INFINITY))
        header, body = _decoded(kind, requests.read(size))
        text = json.dumps(header | {"bytes": len(body)}).encode()
        answers.write(_LENGTH.pack(kind, len(text)) + text + body)
        answers.flush()


def _decoded(kind: bytes, data: bytes) -> tuple[dict[str, Any], bytes]:
    from emotion import photo, recording

    if kind == b"v":
        return _decoded_video(data)
    try:
        if kind == b"p":
            pixels = np.asarray(photo.decode(data))
            return {"shape": pixels.shape}, pixels.tobytes()
        samples, rate_hz = recording.decode(data)
        return {"rate_hz": rate_hz}, samples.astype(np.float32).tobytes()
    except (photo.UnusablePhoto, recording.UnusableRecording) as problem:
        return {"broken": problem.code}, b""
    except MemoryError:
        return {"broken": "broken_file"}, b""


def _decoded_video(data: bytes) -> tuple[dict[str, Any], bytes]:
    from emotion import video

    try:
        clip = video.decode(data)
        header = {"shapes": [frame.shape for frame in clip.frames], "rate_hz": clip.rate_hz}
        return header, b"".join([*(frame.tobytes() for frame in clip.frames), clip.samples.tobytes()])
    except video.UnusableVideo as problem:
        return {"broken": problem.code}, b""
    except video.NoVideoDecoder:
        return {"broken": NO_VIDEO_DECODER}, b""
    except MemoryError:
        return {"broken": "broken_file"}, b""


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _serve(sys.stdin.buffer, sys.stdout.buffer)
