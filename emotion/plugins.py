"""Recognisers and face detectors from other packages, found by their entry points.

A package offers a class in its `pyproject.toml`:

    [project.entry-points."mhealth.emotion.recognisers"]
    my_voice = "my_package:MyVoice"

    [project.entry-points."mhealth.emotion.detectors"]
    my_faces = "my_package:MyDetector"

Nothing of it is imported before it is asked for by name. `tests/emotion/test_plugin.py` holds a whole example. A
detector with a licence that this project cannot depend on (YOLO's AGPL, say) can be used so, by whoever may.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

from emotion.checkpoint import NoModel
from emotion.estimate import Estimate

RECOGNISERS = "mhealth.emotion.recognisers"
DETECTORS = "mhealth.emotion.detectors"


@runtime_checkable
class Recogniser(Protocol):
    """What a recogniser must be. Input it cannot use raises `UnusablePhoto` or `UnusableRecording`."""

    modality: str  # face, voice or text
    version: str  # goes into every row that rests on it

    def predict(self, source: Any, /) -> Estimate: ...


@runtime_checkable
class Detector(Protocol):
    """What `FaceRecogniser.detector` must be; a result is a list of `emotion.face.Face`, largest first."""

    def find(self, picture: Any, smallest: float = 0.2) -> Sequence[Any]: ...


class BadPlugin(TypeError):
    """What an entry point names cannot be used here."""


def names(group: str = RECOGNISERS) -> list[str]:
    """What is installed, without importing any of it."""
    return sorted(point.name for point in entry_points(group=group))


def recogniser(name: str, **settings: Any) -> Recogniser:
    """The recogniser of that name: its class method `load(**settings)`, or its constructor where it has none.

    Raises `checkpoint.NoModel` where no package offers it, `BadPlugin` where it is no recogniser.
    """
    made = _make(_find(RECOGNISERS, name), settings)
    if not isinstance(made, Recogniser):
        raise BadPlugin(f"{name} has no predict(source), modality and version")
    return made


def detector(name: str, **settings: Any) -> Detector:
    """The face detector of that name; put it into `FaceRecogniser.detector`. Raises as `recogniser` does."""
    made = _make(_find(DETECTORS, name), settings)
    if not isinstance(made, Detector):
        raise BadPlugin(f"{name} has no find(picture, smallest)")
    return made


def _find(group: str, name: str) -> EntryPoint:
    found = [point for point in entry_points(group=group) if point.name == name]
    if not found:
        raise NoModel(
            f"no installed package offers {name!r} in {group}; there are: {', '.join(names(group)) or 'none'}"
        )
    return found[0]


def _make(point: EntryPoint, settings: dict[str, Any]) -> Any:
    try:
        offered = point.load()
    except (ImportError, AttributeError) as error:
        raise BadPlugin(f"{point.name} ({point.value}) cannot be imported: {error}") from error
    return getattr(offered, "load", offered)(**settings)
