from mhealth.trials.services.enrolment import (
    allocate,
    enrol,
    is_in_masked_trial,
    is_masked_for,
    policy_for,
    repeat_baseline,
    withdraw,
    withdraw_at_request,
)
from mhealth.trials.services.records import (
    ask_to_unblind,
    decide_unblinding,
    record_adverse_event,
    record_deviation,
    unblinded_arm,
)
from mhealth.trials.services.screening import Assessment, assessment, record_screening, strike_screening
from mhealth.trials.services.setup import Verification, close, extend_list, lock_plan, seal_list, start, verify_list

__all__ = [
    "Assessment",
    "Verification",
    "allocate",
    "ask_to_unblind",
    "assessment",
    "close",
    "decide_unblinding",
    "enrol",
    "extend_list",
    "is_in_masked_trial",
    "is_masked_for",
    "lock_plan",
    "policy_for",
    "record_adverse_event",
    "record_deviation",
    "record_screening",
    "repeat_baseline",
    "seal_list",
    "start",
    "strike_screening",
    "unblinded_arm",
    "verify_list",
    "withdraw",
    "withdraw_at_request",
]
