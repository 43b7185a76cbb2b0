"""One simulated trial through the real services: enrol, answer, allocate, follow up, close, unblind, export, report."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response
from mhealth.people.models import CareTeam, Consent, Participant, Scope, Study, StudyMember, User
from mhealth.platform.models import DataKey
from mhealth.research import package
from mhealth.research import services as exports
from mhealth.research.report import services as reports
from mhealth.research.simulation import direct, generator
from mhealth.research.simulation.generator import CONTROL, SITES, TREATED, VISITS, Recipe
from mhealth.trials import services as trials
from mhealth.trials.models import Arm, Enrolment, Trial, Withdrawal

VISIT_DAYS = (28, 56)
ARMS = {TREATED: ("treated", "personalised"), CONTROL: ("control", "fixed_sequence")}
DATED = {
    Enrolment: ("enrolled_at", "allocated_at"),
    Occasion: ("opens_at", "due_at", "closes_at", "created_at"),
    Response: ("answered_at", "received_at"),
    Withdrawal: ("recorded_at",),
}


class RealPeople(Exception):
    """The database holds a study: simulated people are kept away from it."""


def play(recipe: Recipe, seed: int, folder: Path) -> dict:
    """Play it in this database, which must be empty of studies, and compare the report with the generator's own data.

    folder: for export and report. Returns a line of results. Raises RealPeople.
    """
    if Study.objects.exists():
        raise RealPeople("this database holds a study; simulated trials are played in one of their own")
    started = time.monotonic()
    found = generator.people(recipe, seed)
    trial = _set_up(recipe, seed)
    enrolments = _enrol(trial, found, seed)
    arms = np.array([enrolment.slot.arm_index() for enrolment in enrolments])
    _follow(enrolments, found.raw(arms, recipe.effect), found.leaving(arms, recipe.attrition), seed)
    researcher = _finish(trial)
    _take_away(trial, researcher, folder)
    return _compared(recipe, seed, found, arms, folder) | {"seconds": round(time.monotonic() - started, 1)}


def _set_up(recipe: Recipe, seed: int) -> Trial:
    study = Study.objects.create(
        slug=f"simulated-{seed}", name="Simulated", languages=["en"], countries=["GB"], sites=list(SITES)
    )
    CareTeam.objects.create(study=study, name="Simulated team")
    lines = [{"instrument": "dass21", "from": "enrolment", "name": "baseline", "day": 0, "days_open": 14}]
    for name, day in zip(VISITS, VISIT_DAYS, strict=True):
        lines.append({"instrument": "dass21", "from": "allocation", "name": name, "day": day})
    trial = Trial.objects.create(
        study=study,
        slug=f"simulated-{seed}",
        title="Simulated trial",
        stratify_by=["site", "severity"],
        severity_cuts=[generator.SEVERITY_CUT],
        schedule=lines,
        slots_per_stratum=recipe.people,
        analysis_plan=f"ANCOVA of DASS-21 depression at {VISITS[-1]} on arm, baseline, site and severity.",
    )
    for position, (name, policy) in ARMS.items():
        Arm.objects.create(trial=trial, position=position, name=name, policy=policy, share=1)
    with _seed_of_lists(seed):
        return trials.start(trial=trials.seal_list(trial=trial))


@contextlib.contextmanager
def _seed_of_lists(seed: int) -> Iterator[None]:
    """Lists are drawn from this seed, not from the system's randomness, so that a simulated trial repeats itself."""

    def new_seed(trial: Trial) -> int:
        trial.key = DataKey.make()
        trial.sealed_seed = trial.key.seal(seed.to_bytes(16, "big"), trial._seed_context)
        return seed

    real, Trial.new_seed = Trial.new_seed, new_seed
    try:
        yield
    finally:
        Trial.new_seed = real


def _enrol(trial: Trial, found: generator.People, seed: int) -> list[Enrolment]:
    """Everybody enters, answers the baseline and is allocated, one after another in the order of the generator."""
    rng, items = np.random.default_rng([seed, 2]), _items()
    team, enrolments = CareTeam.objects.get(study=trial.study), []
    for place, raw in enumerate(found.baseline):
        person = _person(trial, team, place, found, rng)
        enrolment = trials.enrol(participant=person, trial=trial)
        _answer(person, "baseline", generator.answers(raw, items, rng))
        enrolments.append(trials.allocate(enrolment=enrolment))
    return enrolments


@transaction.atomic
def _person(trial: Trial, team: CareTeam, place: int, found: generator.People, rng: np.random.Generator) -> Participant:
    user = User.objects.create_user(f"simulated-{place}@{trial.slug}.invalid")
    user.groups.add(Group.objects.get(name="participant"))
    person = Participant.objects.create(
        user=user,
        study=trial.study,
        care_team=team,
        data_key=DataKey.make(),
        site=found.sites[place],
        sex=str(rng.choice(["female", "male"])),
        birth_year=int(rng.integers(1955, 2005)),
        language="en",
        zone="UTC",
    )
    long_ago = timezone.now() - timedelta(days=VISIT_DAYS[-1] + 1)  # consents are never changed, not even by `let_pass`
    about = {"scope": Scope.TRIAL, "given": True, "document_version": "1", "language": "en", "text_digest": "0" * 64}
    Consent.objects.create(participant=person, given_at=long_ago, **about)
    return person


def _items() -> dict[str, tuple[int, ...]]:
    version = InstrumentVersion.objects.filter(instrument__slug="dass21").latest("loaded_at", "id")
    return {scale.slug: scale.items for scale in version.rules.scales}


def _answer(person: Participant, name: str, given: list[int]) -> None:
    occasion = person.occasions.get(name=name, version__instrument__slug="dass21")
    outcomes.answer(occasion=occasion, answers=given, answered_at=timezone.now())


def _follow(enrolments: list[Enrolment], raw: np.ndarray, leaves: np.ndarray, seed: int) -> None:
    """Weeks pass; who stays answers, and half of those who left before a visit say that they leave."""
    rng, items, passed = np.random.default_rng([seed, 3]), _items(), 0
    for visit, (name, day) in enumerate(zip(VISITS, VISIT_DAYS, strict=True), start=1):
        let_pass(day - passed - 7)
        for enrolment in [e for e, left in zip(enrolments, leaves, strict=True) if left == visit][::2]:
            trials.withdraw(enrolment=enrolment, kind=Withdrawal.Kind.STOP)
        let_pass(7)
        passed = day
        for place in np.flatnonzero(leaves > visit):
            _answer(enrolments[place].participant, name, generator.answers(raw[place, visit], items, rng))


def let_pass(days: int) -> None:
    """Move everything that has happened into the past: the calendar of simulated people runs faster than ours."""
    for model, names in DATED.items():
        model.objects.update(**{name: F(name) - timedelta(days=days) for name in names})


def _finish(trial: Trial) -> User:
    """Closed, planned and opened by two managers; returns the researcher."""
    trials.close(trial=trial)
    trials.lock_plan(trial=trial)
    asking, deciding = (_member(f"manager-{n}", "trial_manager", trial.study) for n in (1, 2))
    request = trials.ask_to_unblind(trial=trial, by=asking, reason="simulated analysis")
    trials.decide_unblinding(request=request, by=deciding, approve=True)
    return _member("researcher", "researcher", trial.study)


def _member(name: str, role: str, study: Study) -> User:
    user = User.objects.create_user(f"{name}@{study.slug}.invalid", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    StudyMember.objects.create(study=study, user=user)
    return user


def _take_away(trial: Trial, researcher: User, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    about = {"trial": Trial.objects.get(pk=trial.pk), "user": researcher, "reason": "simulation"}
    exports.export_to(folder=folder / "export", order=package.Order(("csv",)), **about)
    reports.report_to(folder=folder / "report", **about)


def _compared(recipe: Recipe, seed: int, found: generator.People, arms: np.ndarray, folder: Path) -> dict:
    """What the report says beside what the generator's own data say, and whether the exported scores are the same."""
    table = generator.frame(found, recipe, arms)
    expected = direct.ancova(
        table, outcome=direct.OUTCOME, baseline=direct.BASELINE, strata=direct.STRATA, reference="control"
    )[0]
    said = pd.read_csv(folder / "report" / "ancova.csv").set_index("scale").loc["dass21_depression"]
    wide = pd.read_csv(folder / "export" / "occasions_wide.csv")
    last = wide[wide["occasion"] == VISITS[-1]]
    kept = sorted(last["dass21_depression"].dropna()) == sorted(table[direct.OUTCOME].dropna())
    true = direct.truth(recipe)
    return {
        "seed": seed,
        "people": len(arms),
        "allocated_as_listed": bool((arms == generator.allocated(found, seed)).all()),
        "exported_as_generated": kept,
        "estimate": float(said["estimate"]),
        "expected": expected.estimate,
        "same": bool(abs(said["estimate"] - expected.estimate) < 1e-4 and abs(said["p"] - expected.p) < 1e-4),
        "p": float(said["p"]),
        "covered": bool(said["low"] <= true <= said["high"]),
        "completers": int(said["n_arm"] + said["n_reference"]),
    }
