"""The report as files: one page with its figures inside, each table as CSV, each figure as SVG, and a manifest."""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from django.template.loader import render_to_string

from mhealth.research.cohort import Cohort
from mhealth.research.report import (
    NothingToReport,
    data,
    experience_sections,
    outcome_sections,
    people_sections,
    proximal,
)
from mhealth.research.report.masking import is_dry_run
from mhealth.research.report.people_sections import Subject
from mhealth.research.report.tables import Section
from mhealth.trials import randomisation
from mhealth.trials.models import Policy, Trial

PACKAGES = ("mhealth-backend", "statsmodels", "numpy", "pandas", "scipy", "matplotlib")
CONTROLS = (
    Policy.USUAL_CARE,
    Policy.WAITING_LIST,
    Policy.FIXED_SEQUENCE,
)  # the first of these in a trial is its control
SECTIONS: tuple[Callable[[Subject], Section], ...] = (
    people_sections.flow,
    people_sections.attrition,
    people_sections.baseline,
    outcome_sections.trajectories,
    outcome_sections.primary,
    outcome_sections.repeated,
    outcome_sections.changes,
    outcome_sections.missing_data,
    outcome_sections.subgroups,
    people_sections.engagement,
    people_sections.fairness,
    people_sections.harms,
    people_sections.deviations,
)


@dataclass(frozen=True)
class Report:
    cut_off: datetime
    dry_run: bool
    n_people: int
    sha256: str  # of the manifest, which holds the hashes of all other files


def write(trial: Trial, folder: Path, on_progress: Callable[[float], None] = lambda share: None) -> Report:
    """Write the report into an existing folder, the manifest last. Raises NothingToReport."""
    cohort = Cohort(trial)
    dry_run = is_dry_run(cohort.trial)
    subject = _subject(cohort, dry_run)
    sections = []
    for done, make in enumerate(SECTIONS):
        sections.append(make(subject))
        on_progress((done + 1) / (len(SECTIONS) + 1))
    sections += [experience_sections.section(subject, cohort), proximal.section(cohort, dry_run)]
    _write_parts(sections, folder)
    page = render_to_string("research/report.html", _context(cohort, subject, sections, dry_run))
    (folder / "report.html").write_text(page, encoding="utf-8", newline="\n")
    manifest = _facts(cohort, dry_run) | {"files": {p.name: _hash(p) for p in sorted(folder.iterdir())}}
    content = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(content, encoding="utf-8", newline="\n")
    return Report(cohort.cut_off, dry_run, len(subject.people), hashlib.sha256(content.encode()).hexdigest())


def _subject(cohort: Cohort, dry_run: bool) -> Subject:
    """The data with the arms as they are, or in a dry run dealt out anew."""
    trial, found = cohort.trial, data.read(cohort)
    names = _names(trial)
    if dry_run:
        letters = randomisation.string.ascii_uppercase[: len(names)]
        found, names = found.shuffled(_secret_seed(trial), tuple(letters)), tuple(letters)
    plan = data.plan_of(cohort, names)
    if not plan.occasions or not plan.scales:
        raise NothingToReport("no outcome is planned after allocation, or nobody has entered")
    subject = Subject(found, plan, trial.baseline_instrument)
    if subject.people["arm"].nunique() < 2:
        raise NothingToReport("fewer than two arms have people")
    return subject


def _names(trial: Trial) -> tuple[str, ...]:
    """Names of the arms in their order, the control last."""
    arms = trial.ordered_arms()
    control = next((arm for policy in CONTROLS for arm in arms if arm.policy == policy), arms[-1])
    return (*(arm.name for arm in arms if arm != control), control.name)


def _secret_seed(trial: Trial) -> int:
    """The same at every repetition, and nobody without the trial's key can undo the shuffle."""
    return int.from_bytes(trial.key.mac(b"dry run", f"trials_trial/{trial.pk}/report"), "big")


def _write_parts(sections: list[Section], folder: Path) -> None:
    for section in sections:
        for figure in section.figures:
            (folder / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8", newline="\n")
        for table in section.tables:
            (folder / f"{table.name}.csv").write_text(table.csv(), encoding="utf-8", newline="\n")


def _context(cohort: Cohort, subject: Subject, sections: list[Section], dry_run: bool) -> dict:
    return {
        "trial": cohort.trial,
        "sections": sections,
        "dry_run": dry_run,
        "cut_off": f"{cohort.cut_off:%Y-%m-%d %H:%M:%S} UTC",
        "plan": subject.plan,
        "n_people": len(subject.people),
        "versions": _versions(),
    }


def _facts(cohort: Cohort, dry_run: bool) -> dict:
    trial = cohort.trial
    return {
        "trial": trial.slug,
        "cut_off": cohort.cut_off.isoformat(),
        "dry_run": dry_run,
        "plan_sha256": trial.plan_digest,
        "plan_locked": trial.plan_locked_at is not None,
        "seed": outcome_sections.SEED,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
