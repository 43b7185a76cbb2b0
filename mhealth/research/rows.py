"""The rows of each table, as they leave: keyed by the names of the registry, one person after another."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from mhealth.checkins.models import CheckIn
from mhealth.outcomes.models import Occasion, Response
from mhealth.research.cohort import Cohort, Person, age_band
from mhealth.research.columns import EMOTIONS, ENGAGEMENT

Row = dict[str, object]
COUNTED = tuple(column.name for column in ENGAGEMENT.columns if column.name not in ("person", "arm", "week"))


def people(cohort: Cohort) -> Iterator[Row]:
    for person in cohort.people:
        enrolment, participant = person.enrolment, person.participant
        withdrawal = getattr(enrolment, "withdrawal", None)
        yield {
            **_who(person),
            "status": enrolment.status,
            "site": participant.site,
            "severity_group": _severity_group(cohort, person),
            "sex": participant.sex,
            "age_band": age_band(participant, enrolment.enrolled_at),
            "language": participant.language,
            "enrolment_day": enrolment.day(enrolment.enrolled_at),
            "withdrawal_day": withdrawal and enrolment.day(withdrawal.recorded_at),
            "consent_to_enrolment_days": person.days_between(person.consented_at, enrolment.enrolled_at),
        }


def _severity_group(cohort: Cohort, person: Person) -> str:
    slot = getattr(person.enrolment, "slot", None)
    groups = cohort.trial.severity_groups
    return next((level for level in slot.stratum.split("|") if level in groups), "") if slot else ""


def answers_long(cohort: Cohort) -> Iterator[Row]:
    for person in cohort.people:
        for response in cohort.responses(person):
            yield from _long_rows(person, response)


def _long_rows(person: Person, response: Response) -> Iterator[Row]:
    version = response.occasion.version
    common = {
        **_who(person),
        "occasion": response.occasion.name,
        **person.days(response.answered_at),
        "instrument": version.instrument.slug,
        "instrument_version": version.version,
    }
    for number, answer in enumerate(_answers(person, response), start=1):
        item = {"kind": "item", "name": f"q{number}", "value": _number(answer)}
        yield common | item | {"band": None, "n_missing": None, "prorated": None}
    for score in response.scores.all():
        scale = {"kind": "scale", "name": score.scale, "value": score.value, "band": score.band or None}
        yield common | scale | {"n_missing": score.n_missing, "prorated": score.prorated}


def occasions_wide(cohort: Cohort) -> Iterator[Row]:
    """Instruments that share the name of an occasion share its row."""
    for person in cohort.people:
        given = {response.occasion_id: response for response in cohort.responses(person)}
        together: dict[str, list[Occasion]] = defaultdict(list)
        for occasion in cohort.occasions(person):
            together[occasion.name].append(occasion)
        for name, occasions in together.items():
            row = _wide_row(person, name, [given[o.pk] for o in occasions if o.pk in given])
            yield row | {"planned_day": person.enrolment.day(occasions[0].opens_at)}


def _wide_row(person: Person, name: str, responses: list[Response]) -> Row:
    days = person.days(responses[0].answered_at) if responses else {"day": None, "day_from_consent": None}
    row: Row = {**_who(person), "occasion": name, **days, "answered": bool(responses)}
    for response in responses:
        slug = response.occasion.version.instrument.slug
        for score in response.scores.all():
            scale = f"{slug}_{score.scale}"
            row |= {scale: score.value, f"{scale}_band": score.band}
            row |= {f"{scale}_missing": score.n_missing, f"{scale}_prorated": score.prorated}
        row |= {f"{slug}_q{n}": answer for n, answer in enumerate(_answers(person, response), start=1)}
    return row


def check_ins(cohort: Cohort) -> Iterator[Row]:
    for person, number, check_in in _numbered(cohort):
        fused = check_in.fused or {}
        correction = getattr(check_in, "correction", None)
        yield {
            **_who(person),
            "number": number,
            **person.days(check_in.recorded_at),
            "status": check_in.status,
            "reason": check_in.reason or None,
            **_probabilities(fused.get("probabilities")),
            "valence": _number(fused.get("valence")),
            "arousal": _number(fused.get("arousal")),
            "confidence": _number(fused.get("confidence")),
            "abstained": fused.get("abstained"),
            "disparity": _number(fused.get("disparity")),
            "corrected_to": "+".join(sorted(correction.labels)) if correction else None,
        }


def estimates(cohort: Cohort) -> Iterator[Row]:
    for person, number, check_in in _numbered(cohort):
        for estimate in sorted(check_in.estimates.all(), key=lambda estimate: estimate.modality):
            yield {
                **_who(person),
                "number": number,
                **person.days(check_in.recorded_at),
                "modality": estimate.modality,
                **_probabilities(estimate.probabilities),
                "valence": estimate.valence,
                "arousal": estimate.arousal,
                "confidence": estimate.confidence,
                "quality": estimate.quality,
                "abstained": estimate.abstained,
                "model_version": estimate.model_version or None,
                "reason": estimate.reason or None,
            }


def engagement(cohort: Cohort) -> Iterator[Row]:
    """Weeks from allocation to the end of the schedule; more where somebody was there earlier or later."""
    last_day = max((line["day"] for line in cohort.trial.schedule if line["from"] == "allocation"), default=0)
    for person in cohort.people:
        if person.enrolment.allocated_at is None:
            continue
        counts = Counter((person.enrolment.day(at) // 7, name) for name, at in _happenings(cohort, person))
        weeks = {0, last_day // 7} | {week for week, _ in counts}
        for week in range(min(weeks), max(weeks) + 1):
            yield {**_who(person), "week": week} | {name: counts[week, name] for name in COUNTED}


def _happenings(cohort: Cohort, person: Person) -> Iterator[tuple[str, object]]:
    for check_in in cohort.check_ins(person):
        yield "check_ins", check_in.recorded_at
        if check_in.status == "done":
            yield "check_ins_read", check_in.recorded_at
    answered = {response.occasion_id for response in cohort.responses(person)}
    for occasion in cohort.occasions(person):
        yield "questionnaires_planned", occasion.opens_at
        if occasion.pk in answered:
            yield "questionnaires_answered", occasion.opens_at
    for decision in cohort.offers(person):
        yield "activities_offered", decision.decided_at
        first = {event.kind: event.at for event in reversed(decision.events.all())}
        for kind in first.keys() & {"shown", "completed"}:
            yield f"activities_{kind}", first[kind]


ROWS: dict[str, Callable[[Cohort], Iterator[Row]]] = {
    "people": people,
    "answers_long": answers_long,
    "occasions_wide": occasions_wide,
    "check_ins": check_ins,
    "estimates": estimates,
    "engagement": engagement,
}


def _who(person: Person) -> Row:
    return {"person": person.code, "arm": person.arm}


def _answers(person: Person, response: Response) -> list[int | None]:
    response.occasion.participant = person.participant  # its key is loaded already
    return response.answers


def _numbered(cohort: Cohort) -> Iterator[tuple[Person, int, CheckIn]]:
    for person in cohort.people:
        for number, check_in in enumerate(cohort.check_ins(person), start=1):
            yield person, number, check_in


def _probabilities(distribution: dict[str, float] | None) -> Row:
    return {f"p_{emotion}": _number((distribution or {}).get(emotion)) for emotion in EMOTIONS}


def _number(value: object) -> float | None:
    return None if value is None else float(value)
