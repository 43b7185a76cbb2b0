"""What is said about where a choice came from must be true of the person."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

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


def test_an_activity_is_said_to_be_made_for_the_moment_only_where_clinicians_made_it_for_the_emotion_shown():
    activity = SimpleNamespace(key="letter", technique="journaling", targets={"emotions": ["fear"]})
    shown = dict.fromkeys(EMOTIONS, 0.05)

    def keys(emotion: dict | None) -> list[str]:
        snapshot = Snapshot(at=NOW, context=Context(emotion=emotion), history=())
        return [r["key"] for r in reasons._from_parts(activity, snapshot, {INTENDED: 0.03}, TITLES)]

    assert keys({**shown, "fear": 0.7}) == ["made_for_emotion"]
    assert keys({**shown, "anger": 0.7}) == []
    assert keys(None) == []


def test_a_reason_without_an_approved_sentence_is_not_said():
    texts = SimpleNamespace(sentences={"open": {"chance": "A little chance."}, "shared": {}}, words={})
    assert reasons.render([{"key": "made_for_emotion", "slots": {}}, {"key": "chance", "slots": {}}], texts, None) == [
        "A little chance."
    ]
