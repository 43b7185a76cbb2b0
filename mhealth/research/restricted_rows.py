"""Rows of decisions, weights and identities: made only where the trial is not masked, or a second person agreed."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from interventions.models import Decision, InputsErased
from mhealth.research.cohort import Cohort, Person
from mhealth.research.rows import Row, number_of, numbered, who


def decisions(cohort: Cohort) -> Iterator[Row]:
    for person, number, decision in _decided(cohort):
        row = {**who(person), "decision": number, **person.days(decision.decided_at)}
        yield row | _offered(decision, cohort.cut_off) | _drawn(decision)


def _offered(decision: Decision, cut_off: datetime) -> Row:
    row: Row = {"moment": decision.kind, "outcome": decision.outcome or None}
    if decision.version is None:
        return row
    heard = decision.heard_until(cut_off)
    return row | {
        "activity": decision.version.activity.key,
        "text_version": f"{decision.version.language} {decision.version.number}",
        "completed": heard.completed,
        "rating": heard.helpfulness,
        "mood_change": heard.mood_change,
    }


def _drawn(decision: Decision) -> Row:
    record = _record(decision)
    if record is None:
        return {}
    choice = record["choice"]
    return {
        "reason": choice["reason"],
        "policy": record["policy"],
        "decided_by": choice["policy"],
        "model": record["model"] or None,
        "eligible": sum(not candidate["closed_by"] for candidate in choice["candidates"]),
        "send_probability": number_of(choice["send_probability"]),
        "propensity": number_of(choice["propensity"]),
    }


def candidates(cohort: Cohort) -> Iterator[Row]:
    for person, number, decision in _decided(cohort):
        choice = (_record(decision) or {}).get("choice")
        if choice is None:
            continue
        columns = (choice[name] for name in ("candidates", "scores", "scores_sd", "probabilities"))
        for position, (candidate, score, sd, probability) in enumerate(zip(*columns, strict=True), start=1):
            yield {
                "person": person.code,
                "decision": number,
                "position": position,
                "activity": candidate["activity"],
                "eligible": not candidate["closed_by"],
                "closed_by": "+".join(candidate["closed_by"]) or None,
                "score": number_of(score),
                "score_sd": number_of(sd),
                "probability": number_of(probability),
            }


def weights(cohort: Cohort) -> Iterator[Row]:
    for person, number, check_in in numbered(cohort):
        for estimate in person.near.estimates[check_in.pk]:
            if estimate.weight is not None:
                row = {"person": person.code, "number": number, "modality": estimate.modality}
                yield row | {"weight": number_of(estimate.weight)}


def reliability(cohort: Cohort) -> Iterator[Row]:
    """Only of people who corrected something: the others are as the population."""
    from mhealth.checkins.reliability import of as reliability_of  # SciPy: 11 MiB that other exports need not have

    for person in cohort.people:
        stored = person.near.reliability.get(person.participant.pk)
        if stored is None or not stored.labels:
            continue
        learnt = reliability_of(stored.participant)
        for modality in sorted(learnt.evidence):
            alpha, beta = learnt.posterior(modality)
            row = {"person": person.code, "modality": modality, "alpha": float(alpha), "beta": float(beta)}
            yield row | {"accuracy": float(learnt.accuracy(modality)), "labels": stored.labels}


def identities(cohort: Cohort) -> Iterator[Row]:
    for person in cohort.people:
        participant, enrolment = person.participant, person.enrolment
        zone, user = ZoneInfo(participant.zone), person.near.users.get(participant.pk)
        yield {
            "person": person.code,
            "participant": str(participant.pk),
            "email": user and user.email,
            "first_name": user and user.first_name,
            "last_name": user and user.last_name,
            "birth_year": participant.birth_year,
            "zone": participant.zone,
            "enrolled_on": enrolment.enrolled_at.astimezone(zone).date().isoformat(),
            "allocated_on": enrolment.allocated_at and enrolment.allocated_at.astimezone(zone).date().isoformat(),
        }


def _decided(cohort: Cohort) -> Iterator[tuple[Person, int, Decision]]:
    for person in cohort.people:
        for number, decision in enumerate(cohort.decisions(person), start=1):
            yield person, number, decision


def _record(decision: Decision) -> dict | None:
    try:
        return decision.record
    except InputsErased:
        return None
