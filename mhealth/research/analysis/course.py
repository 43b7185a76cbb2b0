"""How people and scores go through a trial: flow of participants, staying, trajectories, engagement."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats


def flow(entered: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Counts of a CONSORT flow per arm; erased people are counted with the others.

    entered: one row per person who was ever enrolled: arm (missing: never randomised), left (missing, or the kind of
    withdrawal), offered (ever shown an activity), analysed (in the primary analysis).
    """
    lines = []
    for arm in arms:
        group = entered[entered["arm"] == arm]
        left = group["left"].notna()
        lines.append(
            {
                "arm": arm,
                "allocated": len(group),
                "shown_an_activity": int(group["offered"].sum()),
                "withdrew": int(left.sum()),
                "withdrew_stop": int((group["left"] == "stop").sum()),
                "withdrew_stop_and_delete_media": int((group["left"] == "stop_and_delete_media").sum()),
                "withdrew_erase_all": int((group["left"] == "erase_all").sum()),
                "stayed_without_outcome": int((~left & ~group["analysed"]).sum()),
                "withdrew_without_outcome": int((left & ~group["analysed"]).sum()),
                "analysed": int(group["analysed"].sum()),
            }
        )
    return pd.DataFrame(lines)


def staying(people: pd.DataFrame, last_day: int) -> pd.DataFrame:
    """Share of each arm still in the trial, day by day where it changes (Kaplan-Meier; nobody is censored before
    `last_day`, or on the day up to which is known of them).

    people: arm, withdrawal_day (missing: stayed), known_day (days since allocation that have passed).
    """
    lines = []
    for arm, group in people.groupby("arm", sort=True):
        left = group["withdrawal_day"].clip(lower=0)
        end = left.where(left.notna(), group["known_day"]).clip(upper=last_day)
        share = 1.0
        lines.append({"arm": arm, "day": 0, "at_risk": len(group), "left": 0, "share": 1.0})
        for day in sorted(set(left[left <= last_day].dropna().astype(int))):
            at_risk, leaving = int((end >= day).sum()), int((left == day).sum())
            share *= 1 - leaving / at_risk
            lines.append({"arm": arm, "day": day, "at_risk": at_risk, "left": leaving, "share": share})
    return pd.DataFrame(lines, columns=["arm", "day", "at_risk", "left", "share"])


def completion(rows: pd.DataFrame, occasions: Sequence[str]) -> pd.DataFrame:
    """Per arm and occasion: people for whom it was planned, and those who answered inside the window."""
    lines = []
    for occasion in occasions:
        for arm, group in rows[rows["occasion"] == occasion].groupby("arm", sort=True):
            planned, answered = group["person"].nunique(), int(group["answered"].sum())
            day = float(group["planned_day"].median())
            lines.append({"occasion": occasion, "arm": arm, "day": day, "planned": planned, "answered": answered})
    table = pd.DataFrame(lines, columns=["occasion", "arm", "day", "planned", "answered"])
    table["share"] = table["answered"] / table["planned"]
    return table


def trajectories(rows: pd.DataFrame, scales: Sequence[str], occasions: Sequence[str]) -> pd.DataFrame:
    """Mean of each scale by occasion and arm, as observed, with the t interval of the mean."""
    lines = []
    for scale in scales:
        for occasion in occasions:
            for arm, group in rows[rows["occasion"] == occasion].groupby("arm", sort=True):
                values = group[scale].dropna().to_numpy(float)
                day = float(group["planned_day"].median())
                lines.append({"scale": scale, "occasion": occasion, "day": day, "arm": arm} | _mean(values))
    return pd.DataFrame(lines, columns=["scale", "occasion", "day", "arm", "n", "mean", "sd", "low", "high"])


def _mean(values: np.ndarray) -> dict[str, float]:
    n = len(values)
    if n < 2:
        return {"n": n, "mean": values.mean() if n else np.nan, "sd": np.nan, "low": np.nan, "high": np.nan}
    mean, sd = values.mean(), values.std(ddof=1)
    half = stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n)
    return {"n": n, "mean": mean, "sd": sd, "low": mean - half, "high": mean + half}


def weekly(engagement: pd.DataFrame, counted: Sequence[str]) -> pd.DataFrame:
    """Per arm and week from allocation: people who took part that week, and the mean of each count per full week."""
    lines = []
    for (arm, week), group in engagement[engagement["week"] >= 0].groupby(["arm", "week"], sort=True):
        days = group["days"].sum()
        means = {name: 7 * group[name].sum() / days for name in counted}
        lines.append({"arm": arm, "week": int(week), "people": group["person"].nunique(), **means})
    return pd.DataFrame(lines, columns=["arm", "week", "people", *counted])
