"""Sections about people: who came, stayed, took part, and what happened to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from mhealth.research.analysis import course, groups
from mhealth.research.columns import EMOTIONS
from mhealth.research.report import consort, figures, tables
from mhealth.research.report.data import Plan, TrialData, by_person
from mhealth.research.report.tables import Figure, Section, Table, table
from mhealth.trials.services import Assessment

FACTORS = ("site", "severity_group", "sex", "age_band", "language")
ENGAGED = (
    ("check_ins", "Check-ins"),
    ("activities_shown", "Activities shown"),
    ("activities_completed", "Activities completed"),
)


@dataclass(frozen=True)
class Subject:
    """What the sections are about. slug: of the instrument that is the outcome."""

    data: TrialData
    plan: Plan
    instrument: str

    @cached_property
    def people(self) -> pd.DataFrame:
        return by_person(self.data, self.plan)

    @cached_property
    def followed(self) -> pd.DataFrame:
        """Rows of occasions after allocation, of the randomised."""
        rows = self.data.occasions.dropna(subset="arm")
        return rows[rows["occasion"].isin(self.plan.occasions)].assign(
            answered=lambda f: f[f"{self.instrument}_answered"]
        )

    @cached_property
    def factors(self) -> list[str]:
        """Those in which people differ."""
        return [name for name in FACTORS if self.people[name].nunique(dropna=False) > 1]


def flow(subject: Subject) -> Section:
    data, plan = subject.data, subject.plan
    entered = data.entered.assign(
        offered=data.entered["person"].isin(_shown(data.engagement)),
        analysed=data.entered["person"].isin(_analysed(subject)),
    )
    counts, assessed = course.flow(entered, plan.arms), data.assessment
    drawing = consort.svg(assessed.not_randomised, counts, plan.endpoint)
    stages = counts.set_index("arm").T.rename_axis("stage").reset_index()
    shown = {"People": lambda row: tables.words(row["stage"]).capitalize()} | {
        arm: tables.count(arm) for arm in plan.arms
    }
    return Section(
        "Flow of participants",
        [
            "People are counted in the arm they were allocated to, whatever happened then. Erased people "
            f"({int(entered['erased'].sum())}) are counted and nothing else is known of them. "
            "Whoever was turned away and came again is counted once, as they are now."
        ],
        [Figure("flow", "Flow of participants (CONSORT 2010).", drawing)],
        [table("flow", "The same numbers", stages, shown), *_before(assessed)],
    )


def _before(assessed: Assessment) -> list[Table]:
    """Who was assessed and not randomised, and which criteria they did not meet."""
    why = pd.DataFrame([*assessed.not_randomised.items()], columns=["reason", "people"])
    found = [
        table("not_randomised", f"Not randomised, of {assessed.assessed} assessed", why, _counted("reason", "Why"))
    ]
    if assessed.unmet:
        unmet = pd.DataFrame([*assessed.unmet.items()], columns=["criterion", "people"])
        note = "Criteria not met; one person may have failed several"
        found.append(table("criteria_not_met", note, unmet, _counted("criterion", "Criterion")))
    return found


def _counted(name: str, header: str) -> dict:
    return {header: lambda row: tables.words(row[name]).capitalize(), "People": tables.count("people")}


def _shown(engagement: pd.DataFrame) -> set[str]:
    return set(engagement.loc[engagement["activities_shown"] > 0, "person"])


def _analysed(subject: Subject) -> set[str]:
    people, endpoint = subject.people, subject.plan.endpoint
    pairs = [(f"{column}_before", f"{column} at {endpoint}") for _, column in subject.plan.scales]
    scored = pd.DataFrame({column: people[[before, column]].notna().all(axis=1) for before, column in pairs})
    return set(people.loc[scored.any(axis=1), "person"])


def attrition(subject: Subject) -> Section:
    plan = subject.plan
    stayed = course.staying(subject.people, max(plan.days))
    answered = course.completion(subject.followed, plan.occasions)
    curve = figures.staying(stayed, answered, plan.arms, max(plan.days))
    shown = {
        "Questionnaire": tables.said("occasion"),
        "Arm": tables.said("arm"),
        "Planned for": tables.count("planned"),
        "Answered in its window": tables.count("answered"),
        "Share": tables.percent("share"),
    }
    steps = table("staying", "", stayed, {"Arm": tables.said("arm")})
    return Section(
        "Attrition",
        ["Lines: share of the randomised who had not left (Kaplan-Meier). Markers: share who answered."],
        [Figure("attrition", "Who stayed and who answered.", curve)],
        [table("completion", "Questionnaires answered", answered, shown), steps],
    )


def baseline(subject: Subject) -> Section:
    people, plan = subject.people, subject.plan
    numbers = groups.baseline_numbers(people, [f"{column}_before" for _, column in plan.scales])
    counts = groups.baseline_counts(people, subject.factors)
    return Section(
        "Baseline",
        ["Differences at baseline are by chance; they are not tested (CONSORT 2010, item 15)."],
        tables=[
            _side_by_side("baseline_scores", "Scores: mean (SD); median", numbers, ["measure"], _mean_cell, subject),
            _side_by_side("baseline_people", "People: n (%)", counts, ["factor", "level"], _count_cell, subject),
        ],
    )


def _side_by_side(name: str, caption: str, rows: pd.DataFrame, key: list[str], cell, subject: Subject) -> tables.Table:
    """A column per arm and one for all."""
    columns = [*subject.plan.arms, "all"]
    header = [*(word.capitalize() for word in key), *(f"{arm} (n = {_size(subject, arm)})" for arm in columns)]
    cells = []
    for values, lines in rows.groupby(key, sort=False):
        by_arm = {line["arm"]: line for line in lines.to_dict("records")}
        label = [tables.words(str(v).removesuffix("_before").removeprefix(f"{subject.instrument}_")) for v in values]
        cells.append([*label, *(cell(by_arm[arm]) if arm in by_arm else tables.NOTHING for arm in columns)])
    return tables.Table(name, caption, rows, header, tables.once(cells))


def _size(subject: Subject, arm: str) -> int:
    return len(subject.people) if arm == "all" else int((subject.people["arm"] == arm).sum())


def _mean_cell(line: dict) -> str:
    return f"{tables.fixed(line['mean'], 1)} ({tables.fixed(line['sd'], 1)}); {tables.fixed(line['median'], 1)}"


def _count_cell(line: dict) -> str:
    return f"{line['n']} ({tables.share(line['share'])})"


def engagement(subject: Subject) -> Section:
    rows = subject.data.engagement.dropna(subset="arm")
    table_ = course.weekly(rows, [column for column, _ in ENGAGED])
    if table_.empty:
        return Section("Engagement", ["Nobody has taken part yet."])
    shown = {"Week": tables.count("week"), "Arm": tables.said("arm"), "People": tables.count("people")}
    shown |= {title: tables.number(column, 1) for column, title in ENGAGED}
    return Section(
        "Engagement",
        ["Means per person and week of taking part; a week that was cut short counts for the days lived of it."],
        [Figure("engagement", "Engagement by week.", figures.weekly(table_, subject.plan.arms, ENGAGED))],
        [table("engagement", "Engagement by week", table_, shown)],
    )


def fairness(subject: Subject) -> Section:
    found = groups.fairness(subject.data.people, subject.data.check_ins, EMOTIONS, subject.factors)
    if found.empty:
        return Section(
            "How the recognisers did for each group", ["There are no check-ins, or all people are in one group."]
        )
    shown = {
        "Group": lambda row: f"{tables.words(row['factor'])}: {tables.words(row['level'])}",
        "People": tables.count("people"),
        "Check-ins": tables.count("check_ins"),
        "Could be read": tables.percent("read"),
        "Abstained": tables.percent("abstained"),
        "Corrected": tables.count("corrected"),
        "Right, by own word": tables.percent("right"),
        "95 % interval": lambda row: f"{tables.share(row['low'])} to {tables.share(row['high'])}",
    }
    return Section(
        "How the recognisers did for each group",
        [
            "All people who entered, randomised or not. A corrected check-in is right where the likeliest emotion is "
            "among the person's own words. People correct what looks wrong, so the share is lower than over all "
            "check-ins. Groups of fewer than five people are not shown; what was not asked (for example ethnicity) "
            "could not be looked at."
        ],
        tables=[table("fairness", "Recognition by group", found, shown)],
    )


def harms(subject: Subject) -> Section:
    events, arms = subject.data.adverse_events, subject.plan.arms
    lines = _per_arm(events, ["severity", "serious", "related"], arms)
    shown = {
        "Severity": tables.said("severity"),
        "Serious": lambda row: "yes" if row["serious"] else "no",
        "Related": tables.said("related"),
    } | _arm_columns(arms)
    people = ", ".join(f"{arm}: {_people(events, arm)}" for arm in arms)
    return Section(
        "Adverse events",
        [f"{len(events)} events were recorded. People with at least one: {people}."],
        tables=[table("adverse_events", "Events per arm", lines, shown)] if len(events) else [],
    )


def deviations(subject: Subject) -> Section:
    found, arms = subject.data.deviations, subject.plan.arms
    lines = _per_arm(found, ["kind", "major"], arms)
    shown = {"Kind": tables.said("kind"), "Major": lambda row: "yes" if row["major"] else "no"} | _arm_columns(arms)
    asked = subject.data.unblindings
    requests = asked.groupby(["of", "status"]).size().rename("requests").reset_index()
    heading = {"Of": tables.said("of"), "Decision": tables.said("status"), "Requests": tables.count("requests")}
    return Section(
        "Deviations and unblindings",
        [f"{len(found)} deviations from the protocol; {len(asked)} requests to unblind."],
        tables=[
            *([table("deviations", "Deviations per arm", lines, shown)] if len(found) else []),
            *([table("unblindings", "Requests to unblind", requests, heading)] if len(asked) else []),
        ],
    )


def _per_arm(rows: pd.DataFrame, key: list[str], arms: Sequence[str]) -> pd.DataFrame:
    """Counts of each combination: a column per arm, and one for people who were never randomised."""
    arm = rows["arm"].fillna("not randomised")
    counts = rows.assign(arm=arm).groupby([*key, "arm"]).size().unstack(fill_value=0)
    return counts.reindex(columns=[*arms, "not randomised"], fill_value=0).reset_index()


def _arm_columns(arms: Sequence[str]) -> dict:
    return {arm.capitalize() if arm[0].islower() else arm: tables.count(arm) for arm in (*arms, "not randomised")}


def _people(rows: pd.DataFrame, arm: str) -> int:
    return rows.loc[rows["arm"] == arm, "person"].nunique()
