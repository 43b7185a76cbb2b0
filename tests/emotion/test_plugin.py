"""A recogniser and a face detector from another package: one class and one entry point each.

`PACKAGE` is the whole example: write it as `my_emotions.py`, and name its classes under `[project.entry-points]`
in your `pyproject.toml`, as `ENTRY_POINTS` shows. Nothing in this project has to change.
"""

import sys

import numpy as np
import pytest
from PIL import Image

from emotion import plugins
from emotion.checkpoint import NoModel
from emotion.estimate import EMOTIONS
from tests.emotion.voices import voice, wav

PACKAGE = '''
"""A recogniser that hears how the pitch moves, and a detector that finds the one bright square of a picture."""

import numpy as np

from emotion import features
from emotion.estimate import EMOTIONS, Estimate
from emotion.face import Face
from emotion.recording import prepare


class PitchRecogniser:
    """Rising pitch is read as surprise, falling as sadness; settings come from whoever loads it."""

    modality = "voice"
    version = "pitch-1"

    def __init__(self, steepness):
        self.steepness = steepness

    @classmethod
    def load(cls, steepness=6.0):
        return cls(steepness)

    def predict(self, recording):
        """Recording (bytes or path) -> Estimate; a recording without speech raises UnusableRecording."""
        speech = prepare(recording)  # decode, level, filter and trim as the served recogniser does
        rise = self._rise(speech.samples)
        scores = np.zeros(len(EMOTIONS))
        scores[EMOTIONS.index("surprise")] = self.steepness * rise
        scores[EMOTIONS.index("sadness")] = -self.steepness * rise
        p = np.exp(scores - scores.max())
        return Estimate(p / p.sum(), speech.quality, self.version, details={"rise": round(rise, 2)})

    def _rise(self, samples):
        """Change of the pitch from the first to the last third, as a share."""
        third = len(samples) // 3
        first, last = self._pitch_hz(samples[:third]), self._pitch_hz(samples[-third:])
        return float(last / first - 1)

    def _pitch_hz(self, samples):
        """Strongest lag of the autocorrelation between 70 and 400 Hz, the median of 64 ms frames."""
        pitches = []
        for frame in features.frames(samples, 1024, 512):
            if np.square(frame).mean() > 1e-4:
                echo = np.correlate(frame, frame, "full")[1023:]
                lag = 40 + int(echo[40:228].argmax())
                pitches.append(16_000 / lag)
        return float(np.median(pitches))


class BrightSquare:
    """Finds the bright part of a dark picture."""

    def find(self, picture, smallest=0.2):
        """PIL image -> faces (emotion.face.Face), largest first, boxes in pixels of the picture."""
        rows, columns = np.nonzero(np.asarray(picture.convert("L")) > 128)
        if not len(rows):
            return []
        x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        across, down = (x2 - x1) / 4, (y2 - y1) / 4
        points = [(1, 1.5), (3, 1.5), (2, 2), (1.3, 3), (2.7, 3)]  # eyes, nose, corners of the mouth
        landmarks = np.array([(x1 + across * x, y1 + down * y) for x, y in points])
        face = Face(np.array([x1, y1, x2, y2], float), landmarks, probability=1.0)
        return [face] if face.height >= smallest * picture.height else []


class NotARecogniser:
    """Lacks `predict`."""
'''

ENTRY_POINTS = """\
[mhealth.emotion.recognisers]
pitch = my_emotions:PitchRecogniser
nothing = my_emotions:NotARecogniser
broken = my_emotions_that_is_missing:Anything

[mhealth.emotion.detectors]
bright_square = my_emotions:BrightSquare
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package above as pip would leave it: a module and a dist-info folder on the path."""
    (tmp_path / "my_emotions.py").write_text(PACKAGE)
    info = tmp_path / "my_emotions-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-emotions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_emotions", raising=False)


def test_a_recogniser_of_another_package_reads_a_recording(installed):
    recogniser = plugins.recogniser("pitch", steepness=8.0)

    assert recogniser.modality == "voice"
    assert recogniser.predict(wav(voice(2.0, pitch_hz=140, rise=0.6))).emotion == "surprise"
    assert recogniser.predict(wav(voice(2.0, pitch_hz=200, rise=-0.4))).emotion == "sadness"
    assert recogniser.predict(wav(voice(2.0, rise=0.6))).model_version == "pitch-1"


def test_the_served_recogniser_looks_where_another_detector_points(installed):
    from emotion.face import FaceRecogniser, UnusablePhoto

    recogniser = FaceRecogniser.load()
    recogniser.detector = plugins.detector("bright_square")
    picture = np.zeros((240, 320, 3), np.uint8)
    picture[60:180, 100:220] = np.random.default_rng(0).integers(130, 256, (120, 120, 3))

    estimate = recogniser.predict(Image.fromarray(picture))
    assert estimate.probabilities.shape == (len(EMOTIONS),)
    with pytest.raises(UnusablePhoto):
        recogniser.predict(Image.new("RGB", (320, 240)))


def test_what_is_installed_is_listed_without_importing_it(installed):
    assert {"pitch", "nothing", "broken"} <= set(plugins.names())
    assert plugins.names(plugins.DETECTORS) == ["bright_square"]
    assert "my_emotions" not in sys.modules


def test_what_is_no_recogniser_is_refused_by_name(installed):
    assert plugins.recogniser("pitch")
    with pytest.raises(plugins.BadPlugin, match="nothing has no predict"):
        plugins.recogniser("nothing")
    with pytest.raises(plugins.BadPlugin, match="broken .* cannot be imported"):
        plugins.recogniser("broken")


def test_a_name_that_nobody_offers_is_answered_with_those_that_there_are(installed):
    with pytest.raises(NoModel, match="'pich'.*pitch"):
        plugins.recogniser("pich")
