"""Sections about outcomes: trajectories, the primary analysis, and what it would be otherwise."""

from collections.abc import Iterator

import pandas as pd

from mhealth.research.analysis import course, groups, missing
from mhealth.research.analysis.ancova import ancova
from mhealth.research.analysis.effects import Effect, NotIdentified, hedges_g, holm, pooled_sd
from mhealth.research.analysis.mixed import mixed_model
from mhealth.research.report import figures, tables
from mhealth.research.report.people_sections import Subject
from mhealth.research.report.tables import Figure, Section, table

N_IMPUTATIONS = 50
SEED = 20_261_121
DELTAS_SD = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)  # of the pooled baseline SD
FOUND = ["scale", "arm", "reference", "n_arm", "n_reference", "estimate", "se", "df", "low", "high", "p"]


def trajectories(subject: Subject) -> Section:
    plan, rows = subject.plan, _with_baseline(subject)
    columns = [column for _, column in plan.scales]
    means = course.trajectories(rows, columns, ["baseline", *plan.occasions])
    shown = {
        "Scale": _scale(subject),
        "Occasion": tables.said("occasion"),
        "Arm": tables.said("arm"),
        "n": tables.count("n"),
        "Mean": tables.number("mean", 1),
        "SD": tables.number("sd", 1),
        "95 % band": tables.interval(digits=1),
    }
    drawing = figures.trajectories(means, plan.arms, plan.scales)
    return Section(
        "Trajectories",
        ["Doubled scores as observed, of everybody who answered at the time; bands are 95 % intervals of the mean."],
        [Figure("trajectories", "Mean scores by arm with 95 % bands.", drawing)],
        [table("trajectories", "Scores by occasion", means, shown)],
    )


def _with_baseline(subject: Subject) -> pd.DataFrame:
    """Rows of follow-ups, and first those of the answers that were the baseline, on day 0."""
    before = {f"{column}_before": column for _, column in subject.plan.scales}
    first = subject.people[["person", "arm", *before]].rename(columns=before)
    first = first.assign(occasion="baseline", planned_day=0)
    return pd.concat([first, subject.followed[[*first.columns]]], ignore_index=True)


def primary(subject: Subject) -> Section:
    plan = subject.plan
    found, unknown = _ancovas(subject)
    text = [
        f"Score at {plan.endpoint} on arm, baseline score and strata ({_strata(subject)}) by analysis of covariance, "
        f"of everybody with an outcome, in the arm they were allocated to. Differences are arm minus "
        f"{plan.reference}; below 0 is a lower, better score. Hedges' g is the adjusted difference over the pooled "
        "baseline SD. Holm's p takes the tests of this table together.",
        *unknown,
    ]
    if found.empty:
        return Section("Primary analysis", text)
    shown = {"Scale": _scale(subject)} | _effect_columns()
    shown |= {
        "p (Holm)": tables.p_value("p_holm"),
        "g": tables.number("g"),
        "95 % of g": tables.interval("g_low", "g_high"),
    }
    labelled = found.assign(label=[f"{_short(subject, row.scale)}: {row.arm}" for row in found.itertuples()])
    return Section(
        "Primary analysis",
        text,
        [Figure("effects", f"Standardised differences at {plan.endpoint}.", figures.forest(labelled))],
        [table("ancova", f"Adjusted differences at {plan.endpoint} (ANCOVA)", found, shown)],
    )


def _ancovas(subject: Subject) -> tuple[pd.DataFrame, list[str]]:
    """One line per scale and arm, and a sentence for each scale that could not be analysed."""
    lines, unknown = [], []
    for name, column in subject.plan.scales:
        try:
            lines += list(_ancova_lines(subject, column))
        except NotIdentified as reason:
            unknown.append(f"{name.capitalize()}: not identified ({reason}).")
    found = pd.DataFrame(lines, columns=[*FOUND, "g", "g_low", "g_high"])
    return found.assign(p_holm=holm(found["p"])), unknown


def _ancova_lines(subject: Subject, column: str) -> Iterator[dict]:
    people = subject.people
    for effect in ancova(people, outcome=f"{column} at {subject.plan.endpoint}", **_about(subject, column)):
        g = hedges_g(effect, people[f"{column}_before"], people["arm"])
        yield {"scale": column, **_line(effect), "g": g.g, "g_low": g.low, "g_high": g.high}


def _about(subject: Subject, column: str) -> dict:
    return {"baseline": f"{column}_before", "strata": subject.plan.strata, "reference": subject.plan.reference}


def _line(effect: Effect) -> dict:
    return {name: getattr(effect, name) for name in FOUND[1:]}


def _effect_columns() -> dict:
    return {
        "Arm": tables.said("arm"),
        "n": lambda row: f"{row['n_arm']} / {row['n_reference']}",
        "Difference": tables.number("estimate"),
        "95 % interval": tables.interval(),
        "p": tables.p_value(),
    }


def repeated(subject: Subject) -> Section:
    """The mixed model over all follow-ups."""
    rows = subject.followed.merge(
        subject.people[["person", *{f"{c}_before" for _, c in subject.plan.scales}, *subject.plan.strata]], on="person"
    )
    lines, unknown, notes = [], [], []
    for name, column in subject.plan.scales:
        try:
            model = mixed_model(rows, outcome=column, occasions=subject.plan.occasions, **_about(subject, column))
        except NotIdentified as reason:
            unknown.append(f"{name.capitalize()}: not identified ({reason}).")
            continue
        lines += [
            {"scale": column, "occasion": occasion, **_line(effect), "sd_person": model.fit.sd_person,
             "sd_residual": model.fit.sd_residual, "converged": model.fit.converged}
            for occasion, effects in model.effects.items()
            for effect in effects
        ]  # fmt: skip
        doubt = "" if model.fit.converged else "; the optimiser did not settle, so read this with care"
        notes.append(
            f"{name}: {model.n_observations} answers of {model.n_people} people, SD between people "
            f"{tables.fixed(model.fit.sd_person)}, residual {tables.fixed(model.fit.sd_residual)}{doubt}"
        )
    found = pd.DataFrame(lines, columns=["scale", "occasion", *FOUND[1:], "sd_person", "sd_residual", "converged"])
    shown = {"Scale": _scale(subject), "Occasion": tables.said("occasion")} | _effect_columns()
    text = [
        "All answers after baseline in one linear mixed model: random intercept per person, time categorical, "
        "time × arm, baseline and strata; REML. Compared with a model for repeated measures with an unstructured "
        "covariance (MMRM), a random intercept says that any two visits correlate alike and vary alike; where they do "
        "not, intervals at single visits are off. p values use the normal distribution.",
        *unknown,
    ]
    if found.empty:
        return Section("All follow-ups together", text)
    made = table("mixed_model", "Adjusted differences by occasion (mixed model)", found, shown, "; ".join(notes) + ".")
    return Section("All follow-ups together", text, tables=[made])


def changes(subject: Subject) -> Section:
    columns = [column for _, column in subject.plan.scales if f"{column}_change" in subject.followed]
    found = groups.reliable_changes(subject.followed, columns, [subject.plan.endpoint])
    shown = {
        "Scale": _scale(subject),
        "Arm": tables.said("arm"),
        "Change": tables.said("verdict"),
        "People": lambda row: f"{row['people']} of {row['n']}",
        "Share": tables.percent("share"),
        "95 % interval": lambda row: f"{tables.share(row['low'])} to {tables.share(row['high'])}",
    }
    return Section(
        "Reliable change",
        [
            f"Baseline to {subject.plan.endpoint}, of people with both scores: a change beyond measurement error "
            "(Jacobson & Truax 1991, 1.96; norms as the instrument names them). Intervals are Wilson's."
        ],
        tables=[table("reliable_change", "Reliable change", found, shown)],
    )


def missing_data(subject: Subject) -> Section:
    plan, people = subject.plan, subject.people
    outcomes = [f"{column} at {occasion}" for _, column in plan.scales for occasion in plan.occasions]
    holes = missing.missingness(people, outcomes)
    endpoint = f"{plan.scales[0][1]} at {plan.endpoint}"
    compared = missing.compared(people, endpoint, [f"{column}_before" for _, column in plan.scales])
    sensitivity, unknown = _sensitivity(subject)
    text = [
        "Multiple imputation: chained linear regressions on arm, baseline, strata and the other occasions, "
        f"{N_IMPUTATIONS} imputations, Rubin's rules; it assumes that answers are missing at random. Delta: imputed "
        f"outcomes outside of {plan.reference} are then made worse by so many points (shares of the pooled baseline "
        "SD); the tipping point is the first delta tried at which the interval holds 0.",
        *unknown,
    ]
    made = [
        _missing_table(subject, holes),
        table("missing_compared", f"Baseline of people with and without an outcome at {plan.endpoint}", compared, {
            "Group": tables.said("group"),
            "Scale": lambda row: _short(subject, row["measure"].removesuffix("_before")),
            "n": tables.count("size"),
            "Mean": tables.number("mean", 1),
            "SD": tables.number("std", 1),
        }),
    ]  # fmt: skip
    if not sensitivity.empty:
        shown = {"Scale": _scale(subject), "Assumption": tables.said("assumption")} | _effect_columns()
        made.append(table("sensitivity", f"Sensitivity of the difference at {plan.endpoint}", sensitivity, shown))
    return Section("Missing data", text, tables=made)


def _missing_table(subject: Subject, holes: pd.DataFrame) -> tables.Table:
    parts = holes["outcome"].str.rsplit(" at ", n=1, expand=True)
    rows = holes.assign(scale=parts[0], occasion=parts[1]).drop(columns="outcome")
    shown = {
        "Scale": _scale(subject),
        "Occasion": tables.said("occasion"),
        "Arm": tables.said("arm"),
        "Randomised": tables.count("n"),
        "Scored": tables.count("scored"),
        "Missing": lambda row: f"{row['missing']} ({tables.share(row['missing_share'])})",
    }
    return table("missing", "Missing outcomes", rows, shown)


def _sensitivity(subject: Subject) -> tuple[pd.DataFrame, list[str]]:
    lines, words = [], []
    for name, column in subject.plan.scales:
        try:
            lines += _sensitivity_lines(subject, name, column, words)
        except NotIdentified as reason:
            words.append(f"{name.capitalize()}: not identified ({reason}).")
    return pd.DataFrame(lines, columns=["scale", "assumption", "delta", *FOUND[1:]]), words


def _sensitivity_lines(subject: Subject, name: str, column: str, words: list[str]) -> list[dict]:
    plan, people = subject.plan, subject.people
    if not people[f"{column} at {plan.endpoint}"].isna().any():
        words.append(f"{name.capitalize()}: no outcome is missing at {plan.endpoint}.")
        return []
    outcomes = tuple(f"{column} at {occasion}" for occasion in plan.occasions)
    question = missing.Question(outcomes, f"{column}_before", plan.strata, plan.reference)
    sd, _ = pooled_sd(people[f"{column}_before"], people["arm"])
    deltas = [round(share * sd, 3) for share in DELTAS_SD]
    adjusted = missing.delta_adjusted(people, question, deltas, n_imputations=N_IMPUTATIONS, seed=SEED)
    for arm in plan.arms[:-1]:
        point = missing.tipping_point(adjusted, arm)
        words.append(f"Tipping point, {name}, {arm}: {_where(point)}.")
    return [
        {"scale": column, "assumption": _assumption(delta, share), "delta": delta, **_line(effect)}
        for (delta, effects), share in zip(adjusted.items(), DELTAS_SD, strict=True)
        for effect in effects
    ]


def _where(point: float | None) -> str:
    if point is None:
        return "none was found"
    return f"{point:.1f} points" if point else "reached without any delta"


def _assumption(delta: float, share: float) -> str:
    return "missing at random" if not delta else f"worse by {delta:.1f} ({share:g} SD)"


def subgroups(subject: Subject) -> Section:
    plan, frames = subject.plan, []
    for _, column in plan.scales:
        about = _about(subject, column) | {"outcome": f"{column} at {plan.endpoint}", "factors": subject.factors}
        try:
            frames.append(groups.subgroups(subject.people, **about).assign(scale=column))
        except NotIdentified:
            continue
    if not frames:
        return Section("Subgroups", ["Not identified: there are too few outcomes."])
    found = pd.concat(frames, ignore_index=True)
    shown = {
        "Scale": _scale(subject),
        "Group": lambda row: f"{tables.words(row['factor'])}: {tables.words(row['level'])}",
        "n": tables.count("n"),
        "Arm": tables.said("arm"),
        "Difference": tables.number("estimate"),
        "95 % interval": tables.interval(),
        "p of arm × group": tables.p_value("interaction_p"),
    }
    return Section(
        "Subgroups",
        [
            "Exploratory: not adjusted for the number of looks. A group with fewer than ten outcomes in an arm has no "
            "difference of its own; whether groups differ is told by the interaction, not by comparing p values."
        ],
        tables=[table("subgroups", f"Differences at {plan.endpoint} by group", found, shown)],
    )


def _scale(subject: Subject):
    return lambda row: _short(subject, row["scale"])


def _short(subject: Subject, column: str) -> str:
    return next((name for name, full in subject.plan.scales if full == column), column).capitalize()


def _strata(subject: Subject) -> str:
    return ", ".join(tables.words(name) for name in subject.plan.strata) or "none"
