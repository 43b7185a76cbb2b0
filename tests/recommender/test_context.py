import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from recommender.context import BLOCK_OF, COLUMNS, EMOTIONS, Context, InvalidContext, columns_of, stack
from tests.recommender.worlds import mood

UNIFORM = dict.fromkeys(EMOTIONS, 1 / 7)
FULL = Context(
    emotion={"sadness": 0.75, "neutral": 0.25},
    modality_weights={"face": 0.4, "voice": 0.6},
    dass={"depression": 21, "stress": 10},
    dass_slopes={"depression": -7},
    dass_age_days=27,
    local_time=datetime(2026, 3, 4, 18, 0, tzinfo=UTC),  # a Wednesday
    day_in_programme=28,
    dose_last_7_days=7,
)


def named(context):
    return dict(zip(COLUMNS, context.vector(), strict=True))


def test_every_column_has_a_name_a_block_and_its_worked_value():
    values = named(FULL)
    assert values["emotion_sadness"] == pytest.approx(0.75 - 1 / 7)
    assert values["emotion_fear"] == pytest.approx(-1 / 7)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert values["emotion_certainty"] == pytest.approx(1 - entropy / math.log(7))
    assert (values["face_weight"], values["voice_weight"], values["text_missing"]) == (0.4, 0.6, 1.0)
    assert (values["depression"], values["depression_slope"], values["dass_missing"]) == (0.5, -1.0, 0.0)
    assert values["dass_age"] == pytest.approx(math.log(28) / math.log(29))
    assert (values["hour_sin"], values["hour_cos"]) == (pytest.approx(-1), pytest.approx(0, abs=1e-12))
    assert values["week_sin"] == pytest.approx(math.sin(math.tau * 2.75 / 7))
    assert (values["day_in_programme"], values["dose_last_7_days"]) == (0.5, 1.0)
    assert set(BLOCK_OF) == set(COLUMNS)
    assert len(COLUMNS) == len(set(COLUMNS))


def test_no_label_is_taken_a_small_change_of_the_distribution_is_a_small_change_of_the_vector():
    before = Context(emotion={"fear": 0.5001, "sadness": 0.4999}).vector()
    after = Context(emotion={"fear": 0.4999, "sadness": 0.5001}).vector()
    assert np.abs(before - after).max() < 3e-4


def test_a_uniform_or_missing_emotion_says_nothing():
    emotion = columns_of(["emotion"])
    assert not Context(emotion=UNIFORM).vector()[emotion].any()
    assert not Context().vector()[emotion].any()
    assert Context(emotion=mood("fear")).vector()[emotion].all()
    assert named(Context())["emotion_missing"] == 1.0


def test_a_context_survives_json():
    assert Context.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL
    assert stack([FULL, Context()]).shape == (2, len(COLUMNS))
    assert stack([]).shape == (0, len(COLUMNS))


@pytest.mark.parametrize(
    "values",
    [
        {"emotion": {"joy": 1.0}},
        {"emotion": {"fear": 0.4}},
        {"emotion": {"fear": float("nan")}},
        {"dass": {"depression": 43}},
        {"modality_weights": {"smell": 0.5}},
        {"day_in_programme": -1},
        {"local_time": "yesterday"},
        {"weather": "fine"},
    ],
)
def test_values_out_of_range_are_refused(values):
    with pytest.raises(InvalidContext):
        Context.from_dict(values)
