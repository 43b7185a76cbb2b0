"""Questionnaires: load instruments, plan occasions, receive answers, score and screen them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime

from django.db import transaction
from django.utils import timezone
from rest_framework import status

from mhealth.outcomes import risk, scoring, windows
from mhealth.outcomes.instruments import load_instruments  # noqa: F401 (part of this room's front)
from mhealth.outcomes.models import CLOCK_TOLERANCE, InstrumentVersion, Occasion, Response, ScaleScore
from mhealth.people.models import Participant, Study, User
from mhealth.platform import languages
from mhealth.platform.problems import Problem

DASS21 = "dass21"


class AnswersDiffer(Problem):
    status_code = status.HTTP_409_CONFLICT
    default_code = "answers-differ"
    title = "Already answered"
    default_detail = (
        "You have answered this questionnaire before, and those answers stand. These were kept beside them."
    )


class ParticipationEnded(Problem):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "participation-ended"
    title = "You no longer take part"
    default_detail = "You ended your participation before these answers; nothing of them was stored."


class UnknownInstrument(Exception):
    """No version of this instrument is loaded."""


@transaction.atomic
def plan(
    *,
    participant: Participant,
    instrument_slug: str,
    schedule: Sequence[dict],
    start_date: date,
    language: str | None = None,
) -> list[Occasion]:
    """Plan occasions from `start_date` in the person's zone; planning again adds only the names that are new.

    schedule: lines as in `windows.Slot`, e.g. {"name": "week 8", "day": 56, "due_after_days": 3, "days_open": 7}.
    language: of the questionnaire; None for the person's own at the time.
    Raises UnknownInstrument or windows.InvalidSchedule.
    """
    version = InstrumentVersion.objects.filter(instrument__slug=instrument_slug).order_by("-loaded_at", "-id").first()
    if version is None:
        raise UnknownInstrument(instrument_slug)
    slots = windows.parse_schedule(schedule, version.min_days_between)
    mine = participant.occasions.filter(version__instrument__slug=instrument_slug)
    known = set(mine.values_list("name", flat=True))
    Occasion.objects.bulk_create(
        Occasion(
            participant=participant,
            version=version,
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


def shown(version: InstrumentVersion, wanted: Sequence[str]) -> dict:
    """What a phone shows of an instrument, in the first wanted language there is."""
    language = languages.choose(wanted, version.texts)
    text = version.texts[language]
    rules = version.rules
    return {
        "slug": rules.slug,
        "version": rules.version,
        "language": language,
        "title": text["title"],
        "instructions": text["instructions"],
        "items": text["items"],
        "options": text["options"],
        "minimum": rules.minimum,
        "maximum": rules.maximum,
        "validated": text["status"] != "unvalidated",
        "source": text["source"],
        "licence": text["licence"],
    }


def answer(*, occasion: Occasion, answers: Sequence[int | None], answered_at: datetime) -> Response:
    """Keep, score and screen the answers of one occasion; item order, None where there is none.

    The same answers again return the first row. Raises scoring.InvalidAnswers, AnswersDiffer (the answers are kept
    and screened all the same) or ParticipationEnded.
    """
    return receive(occasion=occasion, answers=answers, answered_at=answered_at)[0]


def receive(
    *, occasion: Occasion, answers: Sequence[int | None], answered_at: datetime, language: str = ""
) -> tuple[Response, bool]:
    """As `answer`, and whether this call made the row."""
    scoring.check(occasion.version.rules, answers)
    _still_takes_part(occasion.participant, answered_at)
    response, created = _keep(occasion, list(answers), answered_at, language)
    if response.conflicting:
        raise AnswersDiffer()  # outside of the transaction that stored them
    return response, created


def _still_takes_part(participant: Participant, answered_at: datetime) -> None:
    stopped_at = participant.stopped_at
    if participant.status != Participant.Status.ACTIVE and (stopped_at is None or answered_at >= stopped_at):
        raise ParticipationEnded()


@transaction.atomic
def _keep(occasion: Occasion, answers: list, answered_at: datetime, language: str) -> tuple[Response, bool]:
    # The occasion is the lock: a phone that repeats its upload does so while the first is still running.
    occasion = Occasion.objects.select_for_update(no_key=True).get(pk=occasion.pk)
    now = timezone.now()
    suspect = answered_at > now + CLOCK_TOLERANCE
    answered_at = now if suspect else answered_at
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
    *, study: Study, instrument_slug: str, before: str, after: str, participants=None
) -> dict[str, scoring.PrePost]:
    """Per scale: people of the study with both occasions, by name; `participants` narrows (an arm, a site)."""
    rows = ScaleScore.objects.for_analysis().filter(
        response__occasion__participant__study=study,
        response__occasion__version__instrument__slug=instrument_slug,
        response__occasion__name__in=[before, after],
    )
    if participants is not None:
        rows = rows.filter(response__occasion__participant__in=participants)
    values: dict[str, dict] = {}
    for scale, person, name, value in rows.values_list(
        "scale", "response__occasion__participant", "response__occasion__name", "value"
    ):
        values.setdefault(scale, {}).setdefault(person, {})[name] = value
    return {
        scale: scoring.pre_post([(each.get(before), each.get(after)) for each in people.values()])
        for scale, people in values.items()
    }
