"""Tables over groups of people: baseline, change, subgroups, and how well the system served each group."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mhealth.research.analysis.ancova import ancova, complete, interaction_p
from mhealth.research.analysis.effects import NotIdentified, wilson

SMALLEST_GROUP = 10  # people with an outcome per arm, below which a group gets no effect of its own
SMALL_CELL = 5  # people; figures of fewer are not shown
VERDICTS = ("improved", "unchanged", "deteriorated")


def baseline_numbers(people: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Mean, SD, median and range of each measure, by arm and for all."""
    lines = []
    for measure in measures:
        for arm, group in _by_arm_and_all(people):
            values = group[measure].dropna().astype(float)
            middle = {"mean": values.mean(), "sd": values.std(), "median": values.median()}
            lines.append(
                {"measure": measure, "arm": arm, "n": len(values), **middle, "min": values.min(), "max": values.max()}
            )
    return pd.DataFrame(lines, columns=["measure", "arm", "n", "mean", "sd", "median", "min", "max"])


def baseline_counts(people: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """People per level of each factor, by arm and for all; not said is a level."""
    lines = []
    for factor in factors:
        values = people[factor].fillna("not said")
        for level in sorted(values.unique()):
            for arm, group in _by_arm_and_all(people):
                n = int((values.loc[group.index] == level).sum())
                lines.append({"factor": factor, "level": level, "arm": arm, "n": n, "share": n / len(group)})
    return pd.DataFrame(lines, columns=["factor", "level", "arm", "n", "share"])


def _by_arm_and_all(people: pd.DataFrame):
    yield from people.groupby("arm", sort=True)
    yield "all", people


def reliable_changes(rows: pd.DataFrame, scales: Sequence[str], occasions: Sequence[str]) -> pd.DataFrame:
    """Per scale, occasion and arm: people whose change could be judged, and the share of each verdict with Wilson's
    interval. rows: one per person and occasion, with a column <scale>_change."""
    lines = []
    for scale in scales:
        for occasion in occasions:
            for arm, group in rows[rows["occasion"] == occasion].groupby("arm", sort=True):
                verdicts = group[f"{scale}_change"].dropna()
                for verdict in VERDICTS:
                    count = int((verdicts == verdict).sum())
                    low, high = wilson(count, len(verdicts))
                    share = count / len(verdicts) if len(verdicts) else np.nan
                    line = {"scale": scale, "occasion": occasion, "arm": arm, "n": len(verdicts), "verdict": verdict}
                    lines.append(line | {"people": count, "share": share, "low": low, "high": high})
    columns = ["scale", "occasion", "arm", "n", "verdict", "people", "share", "low", "high"]
    return pd.DataFrame(lines, columns=columns)


def subgroups(
    people: pd.DataFrame,
    *,
    outcome: str,
    baseline: str,
    strata: Sequence[str],
    factors: Sequence[str],
    reference: str,
) -> pd.DataFrame:
    """The ANCOVA within each level of each factor, and the p of arm × factor. Exploratory, not adjusted.

    A level with fewer than ten people with an outcome in an arm gets no effect.
    """
    about = {"outcome": outcome, "baseline": baseline, "reference": reference}
    lines = []
    for factor in factors:
        others = [name for name in strata if name != factor]
        p = _interaction(people, factor=factor, strata=others, **about)
        values = people[factor].fillna("not said")
        for level in sorted(values.unique()):
            group = people[values == level]
            sizes = complete(group, outcome, baseline)["arm"].value_counts()
            line = {"factor": factor, "level": level, "n": int(sizes.sum()), "interaction_p": p}
            if len(sizes) < 2 or sizes.min() < SMALLEST_GROUP:
                lines.append(line)
                continue
            lines += [
                line | {"arm": e.arm, "estimate": e.estimate, "low": e.low, "high": e.high, "p": e.p}
                for e in ancova(group, strata=others, **about)
            ]
    columns = ["factor", "level", "n", "arm", "estimate", "low", "high", "p", "interaction_p"]
    return pd.DataFrame(lines, columns=columns)


def _interaction(people: pd.DataFrame, **about) -> float:
    try:
        return interaction_p(people, **about)
    except NotIdentified:
        return np.nan


def fairness(
    people: pd.DataFrame, check_ins: pd.DataFrame, emotions: Sequence[str], factors: Sequence[str]
) -> pd.DataFrame:
    """How the recognisers did for each group: check-ins read, abstained, and right by the person's own correction.

    people: person and factors; check_ins: rows of the export. A check-in that was corrected counts as right where the
    likeliest emotion is among the words that the person gave. Groups under five people are not shown.
    """
    columns = ["factor", "level", "people", "check_ins", "read", "abstained", "corrected", "right", "low", "high"]
    rows = check_ins.merge(people[["person", *factors]], on="person")
    rows = rows.assign(right=_right(rows, emotions))
    lines = []
    for factor in factors:
        values = rows[factor].fillna("not said")
        for level in sorted(values.unique()):
            lines.append({"factor": factor, "level": level} | _served(rows[values == level]))
    return pd.DataFrame(lines, columns=columns)


def _right(rows: pd.DataFrame, emotions: Sequence[str]) -> pd.Series:
    """1.0 or 0.0 where the person corrected what was read; NaN elsewhere."""
    probabilities = rows[[f"p_{emotion}" for emotion in emotions]].to_numpy(float)
    judged = rows["corrected_to"].notna().to_numpy() & ~np.isnan(probabilities).any(axis=1)
    right = np.full(len(rows), np.nan)
    for place in np.flatnonzero(judged):
        likeliest = emotions[int(probabilities[place].argmax())]
        right[place] = float(likeliest in str(rows["corrected_to"].iloc[place]).split("+"))
    return pd.Series(right, index=rows.index)


def _served(rows: pd.DataFrame) -> dict[str, object]:
    people = rows["person"].nunique()
    if people < SMALL_CELL:
        return {"people": np.nan}
    read, judged = rows[rows["status"] == "done"], rows["right"].dropna()
    low, high = wilson(int(judged.sum()), len(judged)) if len(judged) else (np.nan, np.nan)
    return {
        "people": people,
        "check_ins": len(rows),
        "read": len(read) / len(rows),
        "abstained": float(read["abstained"].fillna(False).astype(bool).mean()) if len(read) else np.nan,
        "corrected": len(judged),
        "right": float(judged.mean()) if len(judged) else np.nan,
        "low": low,
        "high": high,
    }
