"""What is said about where a choice came from must be true of the person."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from interventions import reasons
from interventions.context import Snapshot
from recommender.catalogue import Delivery, Outcome
from recommender.context import EMOTIONS, Context
from recommender.reward import INTENDED

NOW = datetime(2026, 5, 3, 18, tzinfo=UTC)
CHOSEN = SimpleNamespace(key="letter", technique="journaling")
TITLES = {"letter": "A letter", "box-breathing": "Box breathing"}


def said(outcome: Outcome | None) -> list[str]:
    """Reasons where an earlier activity speaks for the chosen one."""
    past = (Delivery("box-breathing", NOW - timedelta(days=1), outcome),) if outcome else ()
    snapshot = Snapshot(at=NOW, context=Context(), history=past)
    return [r["key"] for r in reasons._from_parts(CHOSEN, snapshot, {"past:box-breathing": 0.2}, TITLES)]


def test_another_activity_is_said_to_have_helped_only_where_it_did():
    assert said(Outcome(True, 5)) == ["similar_helped"]
    assert said(Outcome(True)) == ["similar_helped"]
    for no_help in (Outcome(True, 2), Outcome(False), Outcome(), None):
        assert said(no_help) == []


def test_an_activity_is_said_to_be_made_for_the_moment_only_where_clinicians_made_it_for_what_shows():
    activity = SimpleNamespace(key="letter", technique="journaling", targets={"emotions": ["fear"]})
    even = dict.fromkeys(EMOTIONS, 0.05)

    def keys(emotion: dict | None, source: str = "check_in", **how) -> list[str]:
        snapshot = Snapshot(at=NOW, context=Context(emotion=emotion), history=(), source=source, **how)
        return [r["key"] for r in reasons._from_parts(activity, snapshot, {INTENDED: 0.03}, TITLES)]

    afraid, angry = {**even, "fear": 0.7}, {**even, "anger": 0.7}
    assert keys(afraid) == ["made_for_emotion"]
    assert keys(angry) == keys(None) == keys(afraid, abstained=True) == keys(afraid, "unreadable") == []
    assert keys(angry, "correction", labels=("anger", "fear")) == ["made_for_corrected"]
    assert keys(afraid, "correction", labels=("anger",)) == []


def test_a_reason_that_older_texts_have_no_sentence_for_is_not_said_and_any_other_must_have_one():
    texts = SimpleNamespace(sentences={"open": {"chance": "A little chance."}, "shared": {}}, words={})
    assert reasons.render([{"key": "made_for_emotion", "slots": {}}, {"key": "chance", "slots": {}}], texts, None) == [
        "A little chance."
    ]
    with pytest.raises(KeyError):
        reasons.render([{"key": "technique", "slots": {}}], texts, None)
