"""Questionnaires other than the outcome, before and after: usability (SUS), single items, stress from 1 to 10."""

import pandas as pd

from mhealth.outcomes import scoring
from mhealth.research.cohort import Cohort
from mhealth.research.report import tables
from mhealth.research.report.people_sections import Subject
from mhealth.research.report.tables import Section, table

TITLE = "Usability, trust, empathy, engagement, accessibility and stress"
NUMBERS = ("n", "mean_before", "sd_before", "mean_after", "sd_after", "mean_change", "sd_change")
COLUMNS = ["instrument", "measure", "before", "after", "arm", "randomised", "n_before", "n_after", *NUMBERS]


def section(subject: Subject, cohort: Cohort) -> Section:
    """Every scale of every other instrument: its first planned occasion against its last one, by arm and for all."""
    found = pd.DataFrame(list(_lines(subject, cohort)), columns=COLUMNS)
    if found.empty:
        return Section(TITLE, ["No questionnaire but the outcome was planned."])
    single = [v.definition.get("name", v.instrument.slug) for v in _others(subject, cohort) if v.rules.n_items == 1]
    shown = {
        "Measure": tables.said("measure"),
        "Arm": tables.said("arm"),
        "From, to": lambda row: row["before"] + (f", {row['after']}" if row["after"] else ""),
        "n first, last, both": lambda row: f"{row['n_before']}, {tables.count('n_after')(row)}, {row['n']}",
        "First": _mean("before"),
        "Last": _mean("after"),
        "Change": _mean("change"),
    }
    text = [
        "Mean (SD) at the first and at the last planned occasion, of people with both; an instrument planned once has "
        "its mean under First. As observed, not adjusted and not tested. SUS runs from 0 to 100."
        + (f" Single items, not validated scales: {', '.join(single)}." if single else "")
    ]
    note = "First and last are those planned; n counts answers inside their windows that could be scored."
    return Section(TITLE, text, tables=[table("pre_post", "Before and after", found, shown, note)])


def _others(subject: Subject, cohort: Cohort) -> list:
    """One version per instrument, the newest."""
    return list({v.instrument.slug: v for v in cohort.versions if v.instrument.slug != subject.instrument}.values())


def _lines(subject: Subject, cohort: Cohort):
    rows = subject.data.occasions.dropna(subset="arm")
    for version in _others(subject, cohort):
        slug = version.instrument.slug
        planned = rows[rows[f"{slug}_answered"].notna()]
        order = planned.groupby("occasion")["planned_day"].median().sort_values(kind="stable")
        for scale in version.rules.scales if len(order) else ():
            about = {"instrument": slug, "measure": _title(slug, scale.slug), "before": order.index[0]}
            about["after"] = order.index[-1] if len(order) > 1 else ""
            for arm in (*subject.plan.arms, "all"):
                people = planned if arm == "all" else planned[planned["arm"] == arm]
                randomised = len(subject.people) if arm == "all" else int((subject.people["arm"] == arm).sum())
                line = _compared(people, f"{slug}_{scale.slug}", about["before"], about["after"])
                yield about | {"arm": arm, "randomised": randomised} | line


def _compared(rows: pd.DataFrame, column: str, before: str, after: str) -> dict:
    at = {name: rows[rows["occasion"] == name].set_index("person")[column].astype(float) for name in (before, after)}
    first = at[before].dropna()
    if not after:
        return {"n_before": len(first), "n": len(first), "mean_before": first.mean(), "sd_before": first.std()}
    last = at[after].dropna()
    both = first.index.intersection(last.index)
    found = scoring.pre_post(list(zip(first[both], last[both], strict=True)))
    return {"n_before": len(first), "n_after": len(last)} | {name: getattr(found, name) for name in NUMBERS}


def _title(slug: str, scale: str) -> str:
    return slug if slug == scale else f"{slug} {scale}"


def _mean(when: str):
    def cell(row) -> str:
        mean, sd = (tables.fixed(row[f"{what}_{when}"]) for what in ("mean", "sd"))
        return mean if sd == tables.NOTHING else f"{mean} ({sd})"

    return cell
