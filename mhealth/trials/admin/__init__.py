"""Set-up and oversight of trials. Slots are registered nowhere: who enrols must not be able to read them."""

from mhealth.trials.admin.enrolment import EnrolmentAdmin, ScreeningAdmin
from mhealth.trials.admin.records import AdverseEventAdmin, DeviationAdmin, UnblindingRequestAdmin
from mhealth.trials.admin.trial import TrialAdmin

__all__ = [
    "AdverseEventAdmin",
    "DeviationAdmin",
    "EnrolmentAdmin",
    "ScreeningAdmin",
    "TrialAdmin",
    "UnblindingRequestAdmin",
]
