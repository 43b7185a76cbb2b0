from interventions.services.care import choose_for, end_choice
from interventions.services.content import (
    copy_as_draft,
    freeze_content,
    load_activities,
    load_reasons,
    move,
    review,
    reviewer_agreement,
    suspend_activity,
    validate_as_demo,
)
from interventions.services.decisions import after_analysis, ask, decide, decide_due, fill
from interventions.services.delivery import record_event
from interventions.services.others import places_shown, show_others
from interventions.services.registry import promote, roll_back

__all__ = [
    "after_analysis",
    "ask",
    "choose_for",
    "copy_as_draft",
    "decide",
    "decide_due",
    "end_choice",
    "fill",
    "freeze_content",
    "load_activities",
    "load_reasons",
    "move",
    "places_shown",
    "promote",
    "record_event",
    "review",
    "reviewer_agreement",
    "roll_back",
    "show_others",
    "suspend_activity",
    "validate_as_demo",
]
