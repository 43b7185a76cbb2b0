"""People in a trial: who may enter, which slot is theirs, what they get, and who may know."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.utils import timezone

from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import Occasion, Response
from mhealth.people import rights
from mhealth.people import services as people
from mhealth.people.models import Participant, Scope
from mhealth.platform import audit
from mhealth.platform.problems import Problem
from mhealth.safety import services as safety
from mhealth.trials import eligibility, schedule
from mhealth.trials.models import Enrolment, Policy, Slot, Trial, UnblindingRequest, Withdrawal
from mhealth.trials.models.trial import SCALES
from mhealth.trials.services.screening import Reason, TurnedAway, count_refusal
from mhealth.trials.services.setup import WrongState, subject_of

BASELINE_AGE = timedelta(days=14)  # answers older than this at enrolment say little about where a person starts


class NotEligible(Problem):
    default_code = "not-eligible"
    title = "Not eligible for this trial"
    default_detail = "The person does not meet the rules of this trial."


class CriteriaNotMet(TurnedAway, NotEligible):
    reason = Reason.NOT_ELIGIBLE

    def __init__(self, unmet: list[tuple[str, str]]) -> None:
        """unmet: (fact, sentence)"""
        super().__init__("; ".join(sentence for _, sentence in unmet).capitalize() + ".")
        self.unmet = tuple(fact for fact, _ in unmet)


class ConsentMissing(TurnedAway, Problem):
    reason = Reason.DECLINED
    default_code = "consent-missing"
    title = "No consent to the trial"
    default_detail = "The person has not agreed to take part in a trial, or has withdrawn it."


class UnscorableBaseline(Problem):
    default_code = "unscorable-baseline"
    title = "No baseline that can be scored"
    default_detail = "All three scales of a baseline questionnaire are needed. Ask the person to fill it in again."


class AlreadyEnrolled(Problem):
    default_code = "already-enrolled"
    title = "Already in a trial"
    default_detail = "The person is, or has been, in this trial, or is in another one that is running."


class InAnotherTrial(TurnedAway, AlreadyEnrolled):
    reason = Reason.ELSEWHERE


class EnrolmentEnded(Problem):
    default_code = "enrolment-ended"
    title = "No longer in the trial"
    default_detail = "The person has left this trial or has completed it."


class EnrolmentPaused(Problem):
    default_code = "enrolment-paused"
    title = "Enrolment is paused"
    default_detail = "The allocation list of a stratum is used up. The trial manager must extend it first."


class StratumExhausted(Problem):
    default_code = "stratum-exhausted"
    title = "No slot left"
    default_detail = "The allocation list has no slot left for this person. Enrolment is paused; nothing was lost."


def enrol(*, participant: Participant, trial: Trial, by: object = "system") -> Enrolment:
    """Make the person a candidate and plan the baseline; who is turned away is counted (`Screening`).

    Raises WrongState, EnrolmentPaused, ConsentMissing, NotEligible or AlreadyEnrolled.
    """
    try:
        with transaction.atomic():
            return _enrol(participant, Trial.objects.select_related("study").get(pk=trial.pk), by)
    except TurnedAway as refused:
        count_refusal(refused, participant=participant, trial=trial, by=by)
        raise


def _enrol(participant: Participant, trial: Trial, by: object) -> Enrolment:
    _check_open(trial)
    if Enrolment.objects.filter(trial=trial, participant=participant).exists():
        raise AlreadyEnrolled()
    _check_person(participant, trial, scores=None)
    try:
        with transaction.atomic():
            enrolment = Enrolment.objects.create(trial=trial, participant=participant)
    except IntegrityError as twice:
        here = Enrolment.objects.filter(trial=trial, participant=participant)
        raise (AlreadyEnrolled if here.exists() else InAnotherTrial)() from twice
    _plan(enrolment, schedule.ENROLMENT, enrolment.enrolled_at)
    audit.record(actor=by, action="trial.enrolled", subject=subject_of(enrolment), trial=trial.slug)
    return enrolment


def allocate(*, enrolment: Enrolment, by: object = "system") -> Enrolment:
    """Give the candidate the next slot of their stratum, for good; a second call changes nothing.

    Raises WrongState, EnrolmentPaused, EnrolmentEnded, ConsentMissing, UnscorableBaseline, NotEligible or
    StratumExhausted; in every case the candidate stays one.
    """
    try:
        with transaction.atomic():
            return _allocate(enrolment, by)
    except TurnedAway as refused:
        count_refusal(refused, participant=enrolment.participant, trial=enrolment.trial, by=by)
        raise
    except StratumExhausted:
        with transaction.atomic():
            Trial.objects.filter(pk=enrolment.trial_id).update(paused=True)
            trial = Trial.objects.get(pk=enrolment.trial_id)
            audit.record(actor=by, action="trial.stratum_exhausted", subject=subject_of(trial))
        raise


def _allocate(enrolment: Enrolment, by: object) -> Enrolment:
    enrolment = Enrolment.objects.select_related("trial__study", "trial__key", "participant").get(pk=enrolment.pk)
    if enrolment.status == Enrolment.Status.ALLOCATED:
        return enrolment
    if enrolment.status != Enrolment.Status.CANDIDATE:
        raise EnrolmentEnded()
    trial, participant = enrolment.trial, enrolment.participant
    _check_open(trial)
    baseline, scores = _baseline_of(enrolment)
    _check_person(participant, trial, scores)
    now = timezone.now()
    candidate = Enrolment.objects.filter(pk=enrolment.pk, status=Enrolment.Status.CANDIDATE)
    if not candidate.update(status=Enrolment.Status.ALLOCATED, allocated_at=now, baseline=baseline):
        # Somebody did something with the same person at the same moment: the twin call, or a withdrawal.
        enrolment.refresh_from_db()
        if enrolment.status != Enrolment.Status.ALLOCATED:
            raise EnrolmentEnded()
        return enrolment
    if not Slot.objects.take_next(trial=trial, stratum=trial.stratum_of(participant, scores), enrolment=enrolment):
        raise StratumExhausted()
    enrolment.refresh_from_db()
    _plan(enrolment, schedule.ALLOCATION, now)
    audit.record(actor=by, action="trial.allocated", subject=subject_of(enrolment), trial=trial.slug)
    return enrolment


@transaction.atomic
def repeat_baseline(*, enrolment: Enrolment, by: object = "system") -> Occasion:
    """Plan the baseline once more, for a candidate whose answers could not be scored. Raises EnrolmentEnded."""
    if enrolment.status != Enrolment.Status.CANDIDATE:
        raise EnrolmentEnded()
    slug = enrolment.trial.baseline_instrument
    first = schedule.lines_from(enrolment.trial.schedule, schedule.ENROLMENT)[slug][-1]
    mine = enrolment.participant.occasions.filter(plan=subject_of(enrolment.trial))
    times = mine.filter(version__instrument__slug=slug).count()
    line = first | {"name": f"{first['name']} {times + 1}", "day": 0}
    occasion = _plan_lines(enrolment, slug, [line], timezone.now())[0]
    audit.record(actor=by, action="trial.baseline_repeated", subject=subject_of(enrolment))
    return occasion


@transaction.atomic
def withdraw(*, enrolment: Enrolment, kind: str, words: str = "", by: object = "system") -> Withdrawal:
    """Take the person out of the trial; the slot stays taken and the arm stays what it was.

    A second withdrawal returns the first. Raises EnrolmentEnded when the trial has been completed.
    """
    left = Enrolment.objects.present().filter(pk=enrolment.pk).update(status=Enrolment.Status.WITHDRAWN)
    enrolment.refresh_from_db()
    known = Withdrawal.objects.filter(enrolment=enrolment).first()
    if known:
        return known
    if not left:
        raise EnrolmentEnded()
    withdrawal = Withdrawal(enrolment=enrolment, kind=kind, recorded_by=by if by != "system" else None)
    withdrawal.words = words
    withdrawal.save()
    audit.record(actor=by, action="trial.withdrawn", subject=subject_of(enrolment), kind=kind)
    return withdrawal


def withdraw_at_request(*, enrolment: Enrolment, kind: str, words: str, by: object) -> Withdrawal:
    """Record what a person asked a manager for, and do the rest of it: media at once, erasure after its week."""
    withdrawal = withdraw(enrolment=enrolment, kind=kind, words=words, by=by)
    if kind == Withdrawal.Kind.STOP_AND_DELETE_MEDIA:
        people.stop(enrolment.participant, delete_media=True)
    elif kind == Withdrawal.Kind.ERASE_ALL:
        rights.ask_for_erasure(enrolment.participant)
    return withdrawal


def policy_for(participant: Participant) -> str | None:
    """The policy of decisions now: the arm's in a running trial, None where nothing is offered, else personalised."""
    in_effect = Enrolment.objects.in_effect().filter(participant=participant)
    enrolment = in_effect.select_related("trial__key", "participant").first()
    if enrolment is None:
        return Policy.PERSONALISED.value
    arm = enrolment.read_arm()
    return arm.policy_on(enrolment.day()) if arm else None


def is_masked_for(user: object, participant: Participant) -> bool:
    """Whether this user must not see policy, model, scores, probabilities or trace of the person's decisions.

    Everybody is masked, the person too, until the trial is unblinded or a second person approved this user's request.
    """
    masked = _masked_enrolments(participant)
    told = UnblindingRequest.objects.approved_for(user).filter(enrolment__in=masked).values("enrolment").distinct()
    return told.count() < len(masked)


def is_in_masked_trial(participant: Participant) -> bool:
    """Whether the person must not learn their own policy: they never ask for unblinding themselves."""
    return bool(_masked_enrolments(participant))


def _masked_enrolments(participant: Participant) -> list[Enrolment]:
    enrolments = Enrolment.objects.filter(participant=participant, slot__isnull=False).select_related("trial")
    return [enrolment for enrolment in enrolments if enrolment.trial.masked]


def _check_open(trial: Trial) -> None:
    if trial.status != Trial.Status.RUNNING:
        raise WrongState(f"The trial is {trial.get_status_display()}, not running.")
    if trial.paused:
        raise EnrolmentPaused()


def _check_person(participant: Participant, trial: Trial, scores: dict[str, float] | None) -> None:
    if participant.study_id != trial.study_id or participant.status != Participant.Status.ACTIVE:
        raise NotEligible("The person does not take part in the study of this trial.")
    if not participant.consents_to(Scope.TRIAL):
        raise ConsentMissing()
    if "site" in trial.stratify_by and participant.site not in trial.study.sites:
        raise CriteriaNotMet([("site", "the person's site is not one of the study's")])
    unmet = eligibility.unmet(trial.eligibility, _facts_of(participant, scores))
    if unmet:
        raise CriteriaNotMet(unmet)


def _facts_of(participant: Participant, scores: dict[str, float] | None) -> dict[str, object]:
    """Before the baseline there are no scores: their rules are judged at allocation."""
    born = participant.birth_year
    return {
        "age": born and timezone.now().year - born - 1,  # the birthday may be still to come
        "sex": participant.sex or None,
        "language": participant.language,
        "site": participant.site,
        "country": participant.country or None,
        "severe_risk_open": safety.open_severe(participant) is not None,
    } | (scores or {})


def _baseline_of(enrolment: Enrolment) -> tuple[Response, dict[str, float]]:
    """The newest baseline, by the version of the trial, with all three scales scored. Raises UnscorableBaseline."""
    trial = enrolment.trial
    responses = Response.objects.for_analysis().filter(
        occasion__participant=enrolment.participant,
        occasion__version__instrument__slug=trial.baseline_instrument,
        occasion__version__version=trial.version_of(trial.baseline_instrument),
        answered_at__gte=enrolment.enrolled_at - BASELINE_AGE,
    )
    for response in responses.order_by("-answered_at").prefetch_related("scores"):
        scores = {score.scale: score.value for score in response.scores.all() if score.value is not None}
        if scores.keys() >= set(SCALES):
            return response, scores
    raise UnscorableBaseline()


def _plan(enrolment: Enrolment, start: str, at: datetime) -> None:
    for instrument_slug, lines in schedule.lines_from(enrolment.trial.schedule, start).items():
        _plan_lines(enrolment, instrument_slug, lines, at)


def _plan_lines(enrolment: Enrolment, instrument_slug: str, lines: list[dict], at: datetime) -> list[Occasion]:
    return outcomes.plan(
        participant=enrolment.participant,
        instrument_slug=instrument_slug,
        schedule=lines,
        start_date=at.astimezone(ZoneInfo(enrolment.participant.zone)).date(),
        plan_name=subject_of(enrolment.trial),
        version=enrolment.trial.version_of(instrument_slug),
    )
