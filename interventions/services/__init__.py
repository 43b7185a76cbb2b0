from interventions.services.care import choose_for, end_choice
from interventions.services.content import (
    freeze_content,
    load_activities,
    load_reasons,
    move,
    review,
    suspend_activity,
    validate_as_demo,
)
from interventions.services.decisions import after_analysis, ask, decide, decide_due, fill
from interventions.services.delivery import record_event

__all__ = [
    "after_analysis",
    "ask",
    "choose_for",
    "decide",
    "decide_due",
    "end_choice",
    "fill",
    "freeze_content",
    "load_activities",
    "load_reasons",
    "move",
    "record_event",
    "review",
    "suspend_activity",
    "validate_as_demo",
]
