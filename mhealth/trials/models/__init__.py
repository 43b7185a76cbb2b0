from mhealth.trials.models.enrolment import Enrolment, Slot
from mhealth.trials.models.records import AdverseEvent, Deviation, UnblindingRequest, Withdrawal
from mhealth.trials.models.screening import Screening
from mhealth.trials.models.trial import Arm, Policy, Trial

__all__ = [
    "AdverseEvent",
    "Arm",
    "Deviation",
    "Enrolment",
    "Policy",
    "Screening",
    "Slot",
    "Trial",
    "UnblindingRequest",
    "Withdrawal",
]
