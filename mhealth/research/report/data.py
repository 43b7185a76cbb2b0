"""What a report is made of: the tables of an export as frames, and what an export leaves out (counts of erased people,
adverse events, deviations, unblindings)."""

from collections import defaultdict
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from mhealth.outcomes.models import ScaleScore
from mhealth.people.models import Participant
from mhealth.research import registry, tabular
from mhealth.research.cohort import Cohort, code_of
from mhealth.research.columns import CHECK_INS, ENGAGEMENT, PEOPLE, Table
from mhealth.trials import schedule
from mhealth.trials.models import AdverseEvent, Deviation, Slot, Trial, UnblindingRequest
from mhealth.trials.services import Assessment, assessment

FACTORS = {"site": "site", "severity": "severity_group", "sex": "sex"}  # of the strata -> column


@dataclass(frozen=True)
class Plan:
    """What is compared. arms: the reference last; occasions: of the instrument after allocation, by day;
    scales: (name, column); strata: columns of factors."""

    arms: tuple[str, ...]
    occasions: tuple[str, ...]
    days: tuple[int, ...]
    scales: tuple[tuple[str, str], ...]
    strata: tuple[str, ...]

    @property
    def reference(self) -> str:
        return self.arms[-1]

    @property
    def endpoint(self) -> str:
        return self.occasions[-1]


@dataclass(frozen=True)
class TrialData:
    """Frames with a column `person`, and `arm` where the person was randomised.

    entered: everybody ever enrolled, erased people too: person, arm, status, left, erased.
    people: with <scale>_before, the scores that were taken as baseline, and known_day, the days since allocation
    of which the data can tell.   assessment: everybody who was assessed, by where they are.
    """

    entered: pd.DataFrame
    people: pd.DataFrame
    occasions: pd.DataFrame
    check_ins: pd.DataFrame
    engagement: pd.DataFrame
    adverse_events: pd.DataFrame
    deviations: pd.DataFrame
    unblindings: pd.DataFrame
    assessment: Assessment

    def with_arms(self, arms: dict[str, str]) -> "TrialData":
        """The same data with other arms; people who are not named get none."""
        frames = {field.name: getattr(self, field.name) for field in fields(self)}
        named = {name: frame for name, frame in frames.items() if "person" in getattr(frame, "columns", ())}
        return replace(self, **{n: frame.assign(arm=frame["person"].map(arms)) for n, frame in named.items()})

    def shuffled(self, seed: int, letters: tuple[str, ...]) -> "TrialData":
        """The arms dealt out anew among the randomised, under letters: whatever a figure shows, it is by chance."""
        randomised = self.entered.dropna(subset="arm").sort_values("person")
        letter = dict(zip(sorted(randomised["arm"].unique()), letters, strict=False))
        order = np.random.default_rng(seed).permutation(len(randomised))
        dealt = randomised["arm"].map(letter).iloc[order]
        return self.with_arms(dict(zip(randomised["person"], dealt, strict=True)))


def read(cohort: Cohort) -> TrialData:
    """Everything, with the arms as they are. Whether they may be shown is for the caller to say."""
    arms = _arms(cohort)
    people = _frame(PEOPLE, cohort).merge(_baselines(cohort), on="person", how="left")
    people["known_day"] = people["person"].map({p.code: p.day(cohort.until) for p in cohort.people})
    data = TrialData(
        entered=_entered(cohort),
        people=people,
        occasions=_frame(registry.wide(cohort.versions), cohort),
        check_ins=_frame(CHECK_INS, cohort),
        engagement=_frame(ENGAGEMENT, cohort),
        adverse_events=_notes(cohort, AdverseEvent, ("severity", "serious", "related")),
        deviations=_notes(cohort, Deviation, ("kind", "major")),
        unblindings=_unblindings(cohort.trial),
        assessment=assessment(cohort.trial),
    )
    return data.with_arms(arms)


def by_person(data: TrialData, plan: Plan) -> pd.DataFrame:
    """The randomised, one row each, with "<scale> at <occasion>" for every follow-up."""
    people = data.people.dropna(subset="arm").set_index("person", drop=False)
    for occasion in plan.occasions:
        rows = data.occasions[data.occasions["occasion"] == occasion].set_index("person")
        for _, column in plan.scales:
            people[f"{column} at {occasion}"] = rows[column].reindex(people.index).astype(float)
    return people.reset_index(drop=True)


def plan_of(cohort: Cohort, arms: tuple[str, ...]) -> Plan:
    trial, slug = cohort.trial, cohort.trial.baseline_instrument
    after = sorted(schedule.lines_from(trial.schedule, schedule.ALLOCATION).get(slug, []), key=lambda line: line["day"])
    version = next((v for v in cohort.versions if v.instrument.slug == slug), None)
    scales = tuple((scale.slug, f"{slug}_{scale.slug}") for scale in version.rules.scales) if version else ()
    return Plan(
        arms=arms,
        occasions=tuple(line["name"] for line in after),
        days=tuple(line["day"] for line in after),
        scales=scales,
        strata=tuple(FACTORS[factor] for factor in trial.stratify_by),
    )


def _frame(table: Table, cohort: Cohort) -> pd.DataFrame:
    batches = list(tabular.batches(table, cohort))
    return pa.Table.from_batches(batches, tabular.schema_of(table)).to_pandas()


def _arms(cohort: Cohort) -> dict[str, str]:
    """Pseudonym -> name of the arm, erased people too: their slot stays."""
    ordered, salt = cohort.trial.ordered_arms(), bytes(cohort.trial.study.salt)
    taken = Slot.objects.filter(trial=cohort.trial, taken_by__isnull=False).select_related("taken_by", "trial__key")
    return {code_of(salt, slot.taken_by.participant_id): ordered[slot.arm_index()].name for slot in taken}


def _entered(cohort: Cohort) -> pd.DataFrame:
    salt = bytes(cohort.trial.study.salt)
    rows = cohort.trial.enrolments.values_list("participant_id", "status", "withdrawal__kind", "participant__status")
    lines = [(code_of(salt, pk), status, left, state == Participant.Status.ERASED) for pk, status, left, state in rows]
    return pd.DataFrame(sorted(lines), columns=["person", "status", "left", "erased"])


def _baselines(cohort: Cohort) -> pd.DataFrame:
    """person, and <scale>_before for each scale of the answers that were taken as the baseline."""
    salt, slug = bytes(cohort.trial.study.salt), cohort.trial.baseline_instrument
    taken = dict(cohort.enrolments.exclude(baseline=None).values_list("baseline_id", "participant_id"))
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    rows = ScaleScore.objects.filter(response__in=cohort.enrolments.values("baseline"))
    for response, scale, value in rows.values_list("response_id", "scale", "value"):
        scores[code_of(salt, taken[response])][f"{slug}_{scale}_before"] = np.nan if value is None else float(value)
    return pd.DataFrame(
        [{"person": person, **found} for person, found in sorted(scores.items())], columns=_names(scores)
    )


def _names(scores: dict[str, dict[str, float]]) -> list[str]:
    return ["person", *sorted({name for found in scores.values() for name in found})]


def _notes(cohort: Cohort, model: type, columns: tuple[str, ...]) -> pd.DataFrame:
    salt = bytes(cohort.trial.study.salt)
    rows = model.objects.filter(enrolment__trial=cohort.trial).values_list("enrolment__participant_id", *columns)
    return pd.DataFrame(sorted((code_of(salt, pk), *rest) for pk, *rest in rows), columns=["person", *columns])


def _unblindings(trial: Trial) -> pd.DataFrame:
    rows = UnblindingRequest.objects.filter(trial=trial).values_list("enrolment_id", "status")
    lines = sorted(("one person" if enrolment else "whole trial", status) for enrolment, status in rows)
    return pd.DataFrame(lines, columns=["of", "status"])
