"""Questionnaires: load instruments, plan occasions, receive answers, score and screen them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime

from django.db import transaction
from django.utils import timezone
from rest_framework import status

from mhealth.outcomes import risk, scoring, windows
from mhealth.outcomes.instruments import load_instruments  # noqa: F401 (part of this room's front)
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response, ScaleScore
from mhealth.people.models import Participant, Study, User
from mhealth.platform import languages, moments
from mhealth.platform.problems import Problem

DASS21 = "dass21"


class AnswersDiffer(Problem):
    status_code = status.HTTP_409_CONFLICT
    default_code = "answers-differ"
    title = "Already answered"
    default_detail = (
        "You have answered this questionnaire before, and those answers stand. These were kept beside them."
    )
    members = {"stored": True}


class OccasionClosed(Problem):
    """Answers that came after the window: stored and screened for risk, but they do not count."""

    default_code = "occasion-closed"
    title = "Questionnaire is closed"
    default_detail = (
        "This questionnaire was closed when you answered it. Your answers are kept, but not counted with the others."
    )
    received_too_late = (
        "Your answers reached us more than a week after this questionnaire had closed. "
        "They are kept, but not counted with the others."
    )
    members = {"stored": True}


class OccasionNotOpen(Problem):
    """Answers that came before the window: as above, and the ones that count may still be given."""

    default_code = "occasion-not-open"
    title = "Questionnaire is not open yet"
    default_detail = (
        "This questionnaire was not open yet when you answered it. "
        "Your answers are kept, but not counted; please answer it again once it is open."
    )
    members = {"stored": True}


class ParticipationEnded(Problem):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "participation-ended"
    title = "You no longer take part"
    default_detail = "You ended your participation before these answers; nothing of them was stored."
    members = {"stored": False}


class UnknownInstrument(Exception):
    """No version of this instrument is loaded."""


def slots_of(
    instrument_slug: str, schedule: Sequence[dict], version: str = ""
) -> tuple[InstrumentVersion, list[windows.Slot]]:
    """The version, else the newest, and the lines as it allows them.

    Raises UnknownInstrument or windows.InvalidSchedule.
    """
    asked = _version_of(instrument_slug, version)
    if asked is None:
        raise UnknownInstrument(instrument_slug)
    return asked, windows.parse_schedule(schedule, asked.min_days_between)


@transaction.atomic
def freeze(instrument_slugs: Iterable[str]) -> dict[str, str]:
    """From now on the newest version of each keeps its rules and its words; returns it by slug.

    Raises UnknownInstrument.
    """
    frozen = {}
    for slug in sorted(set(instrument_slugs)):
        newest = _version_of(slug)
        if newest is None:
            raise UnknownInstrument(slug)
        InstrumentVersion.objects.filter(pk=newest.pk, frozen_at=None).update(frozen_at=timezone.now())
        frozen[slug] = newest.version
    return frozen


def weak_texts(instrument_slug: str, wanted: Sequence[str], version: str = "") -> tuple[list[str], list[str]]:
    """Of the wanted languages those without a text, and those whose translation is not validated."""
    asked = _version_of(instrument_slug, version)
    if asked is None:
        return list(wanted), []
    unvalidated = [code for code in wanted if code in asked.spoken and not asked.is_validated(code)]
    return [code for code in wanted if code not in asked.spoken], unvalidated


def _version_of(instrument_slug: str, version: str = "") -> InstrumentVersion | None:
    """Without a version the newest."""
    loaded = InstrumentVersion.objects.filter(instrument__slug=instrument_slug)
    wanted = loaded.filter(version=version) if version else loaded
    return wanted.order_by("-loaded_at", "-id").first()


@transaction.atomic
def plan(
    *,
    participant: Participant,
    instrument_slug: str,
    schedule: Sequence[dict],
    start_date: date,
    language: str | None = None,
    plan_name: str = "",
    version: str = "",
) -> list[Occasion]:
    """Plan occasions from `start_date` in the person's zone; the same plan again adds only the names that are new.

    plan_name: what plans them, e.g. "trials.Trial/7"; two plans of one person may use the same names.
    schedule: lines as in `windows.Slot`, e.g. {"name": "week 8", "day": 56, "due_after_days": 3, "days_open": 7}.
    language: of the questionnaire; None for the person's own at the time. version: empty for the newest.
    Raises UnknownInstrument or windows.InvalidSchedule.
    """
    asked, slots = slots_of(instrument_slug, schedule, version)
    mine = participant.occasions.filter(version__instrument__slug=instrument_slug, plan=plan_name)
    known = set(mine.values_list("name", flat=True))
    Occasion.objects.bulk_create(
        Occasion(
            participant=participant,
            version=asked,
            plan=plan_name,
            number=number,
            name=slot.name,
            language=language or "",
            **asdict(windows.window(slot, start_date, participant.zone)),
        )
        for number, slot in enumerate(slots, start=1)
        if slot.name not in known
    )
    return list(mine.filter(name__in=[slot.name for slot in slots]).order_by("opens_at", "number"))


def to_answer(user: User, now: datetime):
    """The person's own occasions that are open or coming, soonest first."""
    mine = Occasion.objects.visible_to(user).filter(participant__user=user, participant__status="active")
    return (
        mine.not_over(now)
        .select_related("version__instrument")
        .order_by("opens_at", "number", "version__instrument__slug", "id")
    )


def shown(version: InstrumentVersion, wanted: Sequence[str]) -> dict | None:
    """What a phone shows of an instrument, in the first wanted language there is; the study's is the last wanted.

    None: there is no text that the person can be expected to understand. The doctor tells the operator so.
    """
    language = languages.first(wanted, version.spoken)
    if not language:
        return None
    text = version.texts[language]
    rules = version.rules
    return {
        "slug": rules.slug,
        "version": rules.version,
        "language": language,
        "title": text["title"],
        "instructions": text["instructions"],
        "instructions_checked": text.get("instructions_checked", True),
        "items": [{"checked": True} | item for item in text["items"]],
        "options": text["options"],
        "minimum": rules.minimum,
        "maximum": rules.maximum,
        "validated": version.is_validated(language),
        "source": text["source"],
        "licence": text["licence"],
    }


def answer(*, occasion: Occasion, answers: Sequence[int | None], answered_at: datetime, language: str = "") -> Response:
    """Keep, score and screen the answers of one occasion; item order, None where there is none.

    Answers from outside of the window come back with `in_window` False. The same answers again return the first row.
    Raises scoring.InvalidAnswers, AnswersDiffer (the answers are kept and screened all the same) or ParticipationEnded.
    """
    return _take_in(occasion, answers, answered_at, language)[0]


def receive(
    *, occasion: Occasion, answers: Sequence[int | None], answered_at: datetime, language: str = ""
) -> tuple[Response, bool]:
    """As `answer`, for the person themselves, and whether this call made the row.

    Raises OccasionClosed and OccasionNotOpen too: kept and screened, yet the person must learn that they do not count.
    """
    response, created = _take_in(occasion, answers, answered_at, language)
    if not response.in_window:
        raise _not_counted(response)
    return response, created


def _not_counted(response: Response) -> Problem:
    if response.why_out == Response.WhyOut.TOO_EARLY:
        return OccasionNotOpen()
    late = response.why_out == Response.WhyOut.RECEIVED_TOO_LATE
    return OccasionClosed(OccasionClosed.received_too_late if late else None)


def _take_in(
    occasion: Occasion, answers: Sequence[int | None], answered_at: datetime, language: str
) -> tuple[Response, bool]:
    scoring.check(occasion.version.rules, answers)
    response, created = _keep(occasion, list(answers), answered_at, language)
    if response.conflicting:
        raise AnswersDiffer()  # outside of the transaction that stored them
    return response, created


def _still_takes_part(participant: Participant, answered_at: datetime) -> None:
    before_the_end = participant.stopped_at is not None and answered_at < participant.stopped_at
    stopped = participant.status == Participant.Status.STOPPED
    if not (participant.status == Participant.Status.ACTIVE or (stopped and before_the_end)):
        raise ParticipationEnded()  # of an erased person nothing is stored, whenever they said it


@transaction.atomic
def _keep(occasion: Occasion, answers: list, answered_at: datetime, language: str) -> tuple[Response, bool]:
    # In turn with a stop, an erasure, and the same upload once more: a phone repeats it while the first still runs.
    person = Participant.objects.hold(occasion.participant_id)
    now = timezone.now()
    answered_at, suspect = moments.believed(answered_at, now)
    _still_takes_part(person, answered_at)
    occasion = Occasion.objects.get(pk=occasion.pk)
    why_out = occasion.why_out(answered_at, now)
    rows = list(occasion.responses.all())
    for row in rows:
        # The same answers given again inside the window are new: the first time they came too early to count.
        if row.answers == answers and (row.in_window or why_out or row.conflicting):
            return row, False
    standing = [row for row in rows if not row.conflicting]
    response = Response(
        occasion=occasion,
        answered_at=answered_at,
        received_at=now,
        in_window=not why_out,
        why_out=why_out,
        clock_suspect=suspect,
        conflicting=any(row.in_window or bool(why_out) for row in standing),
        language=language or occasion.language or occasion.participant.language,
    )
    response.seal_answers(answers)
    response.save(force_insert=True)
    scores = _score(response, answers)
    risk.screen(response, answers, scores)
    return response, True


def _score(response: Response, answers: list) -> dict[str, scoring.Score]:
    scores = scoring.score(response.occasion.version.rules, answers)
    ScaleScore.objects.bulk_create(
        ScaleScore(
            response=response,
            scale=score.scale,
            raw=score.raw,
            value=score.value,
            band=score.band,
            n_missing=score.n_missing,
            prorated=score.prorated,
            rule_version=score.rule_version,
        )
        for score in scores.values()
    )
    return scores


def latest_scores(participant: Participant, instrument_slug: str = DASS21) -> dict[str, ScaleScore]:
    """Per scale the newest value given inside its window (`doubled`, `band`, `at`); unscorable ones are skipped."""
    scores = _scores_of(participant, instrument_slug).order_by("response__answered_at", "id")
    return {score.scale: score for score in scores}


def _scores_of(participant: Participant, instrument_slug: str):
    return (
        ScaleScore.objects.for_analysis()
        .filter(
            response__occasion__participant=participant,
            response__occasion__version__instrument__slug=instrument_slug,
            value__isnull=False,
        )
        .select_related("response")
    )


def changes(participant: Participant, instrument_slug: str = DASS21) -> dict[str, dict]:
    """Per scale with norms: first and newest value, reliable change index, class and the norms' source."""
    first: dict[str, ScaleScore] = {}
    for score in _scores_of(participant, instrument_slug).order_by("response__answered_at", "id"):
        first.setdefault(score.scale, score)
    found = {}
    for slug, last in latest_scores(participant, instrument_slug).items():
        scale = last.response.occasion.version.rules.scale(slug)
        if scale.norm and first[slug].pk != last.pk:
            index, verdict = scoring.reliable_change(scale, first[slug].value, last.value)
            found[slug] = {
                "before": first[slug].value,
                "after": last.value,
                "index": index,
                "change": verdict,
                "norms": scale.norm.source,
            }
    return found


def pre_post_table(
    *, study: Study, instrument_slug: str, before: str, after: str, participants=None, plan_name: str | None = None
) -> dict[str, scoring.PrePost]:
    """Per scale: people of the study with both occasions, by name.

    participants narrows to an arm or a site; plan_name to the occasions of one plan, such as a trial.
    """
    rows = ScaleScore.objects.for_analysis().filter(
        response__occasion__participant__study=study,
        response__occasion__version__instrument__slug=instrument_slug,
        response__occasion__name__in=[before, after],
    )
    if participants is not None:
        rows = rows.filter(response__occasion__participant__in=participants)
    if plan_name is not None:
        rows = rows.filter(response__occasion__plan=plan_name)
    values: dict[str, dict] = {}
    for scale, person, name, value in rows.values_list(
        "scale", "response__occasion__participant", "response__occasion__name", "value"
    ):
        values.setdefault(scale, {}).setdefault(person, {})[name] = value
    return {
        scale: scoring.pre_post([(each.get(before), each.get(after)) for each in people.values()])
        for scale, people in values.items()
    }
