from interventions.models.content import Activity, ContraIndication, Review, Version, VersionIsFixed
from interventions.models.delivery import CareChoice, Decision, DecisionEvent
from interventions.models.policy import ContentFreeze, ModelVersion, ReasonTexts

__all__ = [
    "Activity",
    "CareChoice",
    "ContentFreeze",
    "ContraIndication",
    "Decision",
    "DecisionEvent",
    "ModelVersion",
    "ReasonTexts",
    "Review",
    "Version",
    "VersionIsFixed",
]
