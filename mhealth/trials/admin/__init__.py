"""Set-up and oversight of trials. Slots are registered nowhere: who enrols must not be able to read them."""

from mhealth.trials.admin.records import (
    AdverseEventAdmin,
    DeviationAdmin,
    EnrolmentAdmin,
    UnblindingRequestAdmin,
)
from mhealth.trials.admin.trial import TrialAdmin

__all__ = ["AdverseEventAdmin", "DeviationAdmin", "EnrolmentAdmin", "TrialAdmin", "UnblindingRequestAdmin"]
