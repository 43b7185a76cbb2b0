from interventions.models.content import Activity, ContraIndication, Review, Version, VersionIsFixed
from interventions.models.delivery import CareChoice, Decision, DecisionEvent, InputsErased
from interventions.models.policy import ContentFreeze, ModelVersion, ReasonTexts

__all__ = [
    "Activity",
    "CareChoice",
    "ContentFreeze",
    "ContraIndication",
    "Decision",
    "DecisionEvent",
    "InputsErased",
    "ModelVersion",
    "ReasonTexts",
    "Review",
    "Version",
    "VersionIsFixed",
]
