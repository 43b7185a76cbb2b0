"""What is said about where a choice came from must be true of the person."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from interventions import reasons
from interventions.context import Snapshot
from recommender.catalogue import Delivery, Outcome
from recommender.context import Context

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
