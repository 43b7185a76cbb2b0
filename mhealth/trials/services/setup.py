"""From a draft to a running trial and to its end: the sealed list, its verifier, the locked plan."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from mhealth.outcomes import services as outcomes
from mhealth.platform import audit
from mhealth.platform.crypto import CannotOpen
from mhealth.platform.problems import Problem
from mhealth.trials import checks, randomisation
from mhealth.trials.models import Enrolment, Slot, Trial


class SetupIncomplete(Problem):
    default_code = "setup-incomplete"
    title = "The set-up is not complete"
    default_detail = "Something is missing in the set-up of this trial."


class WrongState(Problem):
    default_code = "trial-state"
    title = "Not possible in this state of the trial"
    default_detail = "This step is not possible in the present state of the trial."


@transaction.atomic
def seal_list(*, trial: Trial, by: object = "system") -> Trial:
    """Draw the seed, seal every slot of the list and commit to it; from now on the design and the versions of the
    questionnaires stay. Raises WrongState or SetupIncomplete."""
    trial = _locked(trial, Trial.Status.DRAFT)
    missing = [finding.text for finding in checks.findings(trial) if finding.must]
    if missing:
        raise SetupIncomplete(" ".join(missing))
    trial.instrument_versions = outcomes.freeze({line["instrument"] for line in trial.schedule})
    trial.new_seed()
    trial.recipe = randomisation.RECIPE
    trial.status = Trial.Status.READY
    return _seal(trial, by, "trial.list_sealed")


@transaction.atomic
def extend_list(*, trial: Trial, slots_per_stratum: int, by: object = "system") -> Trial:
    """Continue the sealed list of the same seed and let enrolment go on. Raises WrongState."""
    trial = _locked(trial, Trial.Status.READY, Trial.Status.RUNNING)
    if slots_per_stratum <= trial.slots_per_stratum:
        raise WrongState(f"The list already has {trial.slots_per_stratum} slots in each stratum.")
    trial.slots_per_stratum = slots_per_stratum
    trial.paused = False
    return _seal(trial, by, "trial.list_extended")


def _seal(trial: Trial, by: object, action: str) -> Trial:
    allocation_list = randomisation.allocation_list(trial.seed(), trial.design)
    trial.commitment = trial.commitment_to(allocation_list)
    trial.save()
    slots = list(_new_slots(trial, allocation_list))
    Slot.objects.bulk_create(slots, batch_size=500)
    facts = {"commitment": trial.commitment, "slots": len(slots), "questionnaires": trial.instrument_versions}
    audit.record(actor=by, action=action, subject=subject_of(trial), **facts)
    return trial


def _new_slots(trial: Trial, allocation_list: dict[str, tuple[int, ...]]) -> Iterator[Slot]:
    held = set(trial.slots.values_list("stratum", "position"))
    for stratum, arms in allocation_list.items():
        for position, arm_index in enumerate(arms):
            if (stratum, position) not in held:
                slot = Slot(trial=trial, stratum=stratum, position=position)
                slot.seal_arm(arm_index)
                yield slot


@dataclass(frozen=True)
class Verification:
    """differences: (stratum, position) whose sealed arm is not the one the seed gives; gaps: strata whose slots
    were not taken in order."""

    n_slots: int
    differences: list[tuple[str, int]]
    gaps: list[str]
    commitment_holds: bool

    @property
    def holds(self) -> bool:
        return self.commitment_holds and not self.differences and not self.gaps


def verify_list(*, trial: Trial) -> Verification:
    """Derive the list again from the sealed seed and compare it with what is stored, row by row."""
    trial = Trial.objects.select_related("study", "key").get(pk=trial.pk)
    if not trial.sealed_seed:
        raise WrongState("The allocation list of this trial has not been sealed yet.")
    expected = randomisation.allocation_list(trial.seed(), trial.design)
    slots = list(trial.slots.select_related("trial__key").order_by("stratum", "position"))
    held = {(slot.stratum, slot.position): _arm_or_none(slot) for slot in slots}
    return Verification(
        n_slots=len(slots),
        differences=randomisation.differences(expected, held),
        gaps=sorted(_strata_with_gaps(slots)),
        commitment_holds=hmac.compare_digest(trial.commitment, trial.commitment_to(expected)),
    )


def _arm_or_none(slot: Slot) -> int | None:
    try:
        return slot.arm_index()
    except CannotOpen:
        return None


def _strata_with_gaps(slots: list[Slot]) -> set[str]:
    free_seen, gaps = set(), set()
    for slot in slots:
        if slot.taken_by_id is None:
            free_seen.add(slot.stratum)
        elif slot.stratum in free_seen:
            gaps.add(slot.stratum)
    return gaps


@transaction.atomic
def start(*, trial: Trial, by: object = "system") -> Trial:
    """Open enrolment. Raises WrongState."""
    trial = _locked(trial, Trial.Status.READY)
    trial.status, trial.started_at = Trial.Status.RUNNING, timezone.now()
    trial.save(update_fields=["status", "started_at"])
    audit.record(actor=by, action="trial.started", subject=subject_of(trial))
    return trial


@transaction.atomic
def close(*, trial: Trial, by: object = "system") -> Trial:
    """End the trial: allocated people have completed it, candidates have not taken part. Raises WrongState."""
    trial = _locked(trial, Trial.Status.RUNNING)
    trial.status, trial.closed_at = Trial.Status.CLOSED, timezone.now()
    trial.save(update_fields=["status", "closed_at"])
    present = trial.enrolments.present()
    present.filter(status=Enrolment.Status.ALLOCATED).update(status=Enrolment.Status.COMPLETED)
    present.filter(status=Enrolment.Status.CANDIDATE).update(status=Enrolment.Status.WITHDRAWN)
    audit.record(actor=by, action="trial.closed", subject=subject_of(trial))
    return trial


@transaction.atomic
def lock_plan(*, trial: Trial, by: object = "system") -> Trial:
    """After this the analysis plan cannot change, and unblinding becomes possible. Raises WrongState."""
    trial = _locked(trial, *Trial.Status)
    if trial.plan_locked_at or not trial.analysis_plan.strip():
        raise WrongState("The plan is locked already." if trial.plan_locked_at else "There is no analysis plan yet.")
    trial.plan_locked_at = timezone.now()
    trial.save(update_fields=["plan_locked_at"])
    audit.record(actor=by, action="trial.plan_locked", subject=subject_of(trial), digest=trial.plan_digest)
    return trial


def subject_of(row: Trial | Enrolment) -> str:
    return f"{row._meta.label}/{row.pk}"


def _locked(trial: Trial, *states: str) -> Trial:
    trial = Trial.objects.select_for_update(of=("self",)).select_related("study", "key").get(pk=trial.pk)
    if trial.status not in states:
        raise WrongState(f"The trial is {trial.get_status_display()}; this step is not possible now.")
    return trial
