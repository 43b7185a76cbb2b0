"""The rows of the tables, as they leave: keyed by the names of the registry, one person after another."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from interventions.models import Decision, DecisionEvent
from mhealth.checkins.models import CheckIn
from mhealth.outcomes import scoring
from mhealth.research.chunk import Answered, Planned
from mhealth.research.cohort import Cohort, Person, age_band
from mhealth.research.columns import EMOTIONS, ENGAGEMENT

Row = dict[str, object]
COUNTED = tuple(column.name for column in ENGAGEMENT.columns if column.name not in ("person", "arm", "week", "days"))


def people(cohort: Cohort) -> Iterator[Row]:
    for person in cohort.people:
        enrolment, participant = person.enrolment, person.participant
        yield {
            **who(person),
            "status": enrolment.status,
            "site": participant.site,
            "severity_group": _severity_group(cohort, person),
            "sex": participant.sex,
            "age_band": age_band(participant, enrolment.enrolled_at),
            "language": participant.language,
            "enrolment_day": person.day(enrolment.enrolled_at),
            "withdrawal_day": person.withdrawn_at and person.day(person.withdrawn_at),
            "consent_to_enrolment_days": person.days_between(person.consented_at, enrolment.enrolled_at),
        }


def _severity_group(cohort: Cohort, person: Person) -> str:
    groups = cohort.trial.severity_groups
    return next((level for level in person.stratum.split("|") if level in groups), "")


def occasions_wide(cohort: Cohort) -> Iterator[Row]:
    """Instruments that share the name of an occasion share its row."""
    for person in cohort.people:
        given = {response.occasion.pk: response for response in cohort.responses(person)}
        first = next((r for r in given.values() if r.pk == person.enrolment.baseline_id), None)
        together: dict[str, list[Planned]] = defaultdict(list)
        for occasion in cohort.occasions(person):
            together[occasion.name].append(occasion)
        for name, occasions in together.items():
            responses = [given[o.pk] for o in occasions if o.pk in given]
            days = person.days(responses[0].answered_at) if responses else {}
            row = {**who(person), "occasion": name, **days, "answered": bool(responses)}
            row |= {"planned_day": person.day(occasions[0].opens_at)}
            for occasion in occasions:
                row |= _block(occasion, given.get(occasion.pk), first)
            yield row


def _block(occasion: Planned, response: Answered | None, first: Answered | None) -> Row:
    slug = occasion.version.instrument.slug
    row: Row = {f"{slug}_answered": response is not None}
    if response is None:
        return row
    for scale, score in response.scored.items():
        name = f"{slug}_{scale}"
        row |= {name: score.value} | ({f"{name}_band": score.band} if score.band else {})  # not every scale has bands
        row |= {f"{name}_missing": score.n_missing, f"{name}_prorated": score.prorated}
        row |= _change(name, response, first, scale)
    return row | {f"{slug}_q{n}": answer for n, answer in enumerate(response.answers, start=1)}


def _change(name: str, response: Answered, first: Answered | None, scale: str) -> Row:
    """Against the answers that were the baseline, where both could be scored and the scale has norms."""
    rules = response.occasion.version.rules.scale(scale)
    same = first and first.occasion.version.instrument_id == response.occasion.version.instrument_id
    if not same or first.pk == response.pk or rules.norm is None:
        return {}
    before, after = first.scored[scale].value, response.scored[scale].value
    if before is None or after is None:
        return {}
    index, verdict = scoring.reliable_change(rules, before, after)
    return {f"{name}_rci": index, f"{name}_change": verdict}


def check_ins(cohort: Cohort) -> Iterator[Row]:
    for person, number, check_in in numbered(cohort):
        fused = check_in.fused or {}
        corrected_to = person.near.corrected_to.get(check_in.pk)
        yield {
            **who(person),
            "number": number,
            **person.days(check_in.recorded_at),
            "status": check_in.status,
            "reason": check_in.reason or None,
            **_probabilities(fused.get("probabilities")),
            "valence": number_of(fused.get("valence")),
            "arousal": number_of(fused.get("arousal")),
            "confidence": number_of(fused.get("confidence")),
            "abstained": fused.get("abstained"),
            "disparity": number_of(fused.get("disparity")),
            "corrected_to": "+".join(sorted(corrected_to)) if corrected_to else None,
        }


def estimates(cohort: Cohort) -> Iterator[Row]:
    for person, number, check_in in numbered(cohort):
        for estimate in person.near.estimates[check_in.pk]:
            yield {
                **who(person),
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
    """Weeks in which the person took part, from the one of enrolment on: a week not lived yet is no idle week."""
    for person in cohort.people:
        if not person.randomised:
            continue
        left_at = cohort.left_at(person)
        first, last = person.day(person.enrolment.enrolled_at), person.day(left_at)
        seen = (event for event in _happenings(cohort, person) if event[1] <= left_at)
        counts = Counter((person.day(at) // 7, name) for name, at in seen)
        for week in range(first // 7, last // 7 + 1):
            days = min(last, 7 * week + 6) - max(first, 7 * week) + 1
            yield {**who(person), "week": week, "days": days} | {name: counts[week, name] for name in COUNTED}


def _happenings(cohort: Cohort, person: Person) -> Iterator[tuple[str, object]]:
    for check_in in cohort.check_ins(person):
        yield "check_ins", check_in.recorded_at
        if check_in.status == "done":
            yield "check_ins_read", check_in.recorded_at
    answered = {response.occasion.pk for response in cohort.responses(person)}
    for occasion in cohort.occasions(person):
        yield "questionnaires_planned", occasion.opens_at
        if occasion.pk in answered:
            yield "questionnaires_answered", occasion.opens_at
    for decision in cohort.offers(person):
        yield "activities_offered", decision.decided_at
        first = {event.kind: event.at for event in reversed(_by_time(decision))}
        for kind in first.keys() & {"shown", "completed"}:
            yield f"activities_{kind}", first[kind]


def who(person: Person) -> Row:
    return {"person": person.code, "arm": person.arm}


def _by_time(decision: Decision) -> list[DecisionEvent]:
    return sorted(decision.events.all(), key=lambda event: (event.at, event.pk))


def numbered(cohort: Cohort) -> Iterator[tuple[Person, int, CheckIn]]:
    for person in cohort.people:
        for number, check_in in enumerate(cohort.check_ins(person), start=1):
            yield person, number, check_in


def _probabilities(distribution: dict[str, float] | None) -> Row:
    return {f"p_{emotion}": number_of((distribution or {}).get(emotion)) for emotion in EMOTIONS}


def number_of(value: object) -> float | None:
    return None if value is None else float(value)
