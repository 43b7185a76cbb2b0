"""Made-up people, activities and weeks whose every parameter comes from the literature: `worlds/*.json`.

    logit P(completed) = intercept + activity_i + a_i'u_p + r_pi + a_i'Gamma e_pt + day_pt
    helpfulness and mood change rise with the same effect; answers are missing at random given completion
    mood in the evening = person + day + prompt_t * sent                (the proximal outcome of a trial)

a_i are the activity's attributes, u_p and r_pi what person p likes of attributes and of single activities, e_pt the
true emotion, day_pt what all activities share on a day. Of the person's variance only `attribute_share` is seen in
attributes. Worlds differ by heterogeneity, attrition and what a linear model has wrong:

    nonlinear   Gamma turns around for people with much stress     drifting   u_p turns into another one in 8 weeks
    sensor      the emotion that policies see is right 60 % of the time

`heartsteps` takes day_pt from the residuals of a real trial. In the null world nothing depends on person or emotion.
Nothing here shows what a recommender does for people: it shows what it would do if people were like this.

Shapes:  P people   T days   N activities   A attributes   C context columns
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from recommender.catalogue import Activity, Outcome
from recommender.context import COLUMNS, EMOTIONS, SCALES
from recommender.outcomes import OutcomeModel, RewardDefinition

FOLDER = Path(__file__).parent / "worlds"
NAMES = ("null", "prompted", "linear-small", "linear-wild", "nonlinear", "drifting", "sensor", "heartsteps")
DAYS = 56
START = datetime(2026, 3, 2, 18)
MOOD_STEPS = 10  # mood is rated from 0 to 10


class UnknownWorld(ValueError):
    """There is no world of that name, or its file is not the one that was committed."""


@dataclass(frozen=True)
class World:
    """A world as committed: parameters, population draws and the seeds that only tests may use."""

    name: str
    parameters: dict[str, float]
    misspecification: str
    techniques: tuple[str, ...]
    attributes: np.ndarray  # (N, A): effort, tag:body, one column per technique
    activity_effects: np.ndarray  # (N,) logits
    gamma: np.ndarray  # (A, 7) logits per attribute and emotion
    rules: tuple[str, ...]  # the technique that clinicians would give for each emotion; right for four of seven
    test_seeds: tuple[int, ...]

    def __getitem__(self, name: str) -> float:
        return self.parameters[name]

    @cached_property
    def activities(self) -> list[Activity]:
        """The catalogue as the recommender sees it."""
        rows = enumerate(self.attributes)
        return [
            Activity(
                f"a{i:02d}",
                self.techniques[int(np.argmax(row[2:]))],
                ("body",) if row[1] else (),
                {"effort": float(row[0])},
            )
            for i, row in rows
        ]

    def cohort(self, people: int, seed: int, *, days: int = DAYS, residuals: list[np.ndarray] | None = None) -> Cohort:
        """Draw people and their weeks. The same seed gives every policy the same people and the same luck.

        residuals: one standardised series per person of a real trial; needed by the world `heartsteps`.
        """
        if (self.misspecification == "heartsteps") != (residuals is not None):
            raise UnknownWorld("the world heartsteps, and no other, needs the residuals of HeartSteps")
        return Cohort(self, people, days, seed, residuals)


def load(name: str) -> World:
    """Read a world; raises UnknownWorld if its file is not the committed one."""
    path = FOLDER / f"{name}.json"
    if name not in NAMES or digest(path) != json.loads((FOLDER / "hashes.json").read_text())[path.name]:
        raise UnknownWorld(f"no world {name!r} with the committed hash")
    values = json.loads(path.read_text())
    for key in ("attributes", "activity_effects", "gamma"):
        values[key] = np.array(values[key])
    for key in ("techniques", "rules", "test_seeds"):
        values[key] = tuple(values[key])
    return World(**values)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Cohort:
    """People over some weeks: everything that does not depend on what is offered, drawn beforehand.

    present, available: (P, T) bool.   emotion: (P, T) true one.   seen: (P, T) the one a check-in showed, -1 for none.
    logits: (P, T, N) of completion.   level, day: (P, 1), (P, T) of the mood.
    dass: (P, T) each scale's latest score, (P, T, 3).   uniforms: (P, T, 7) luck, the same for every policy.
    """

    def __init__(self, world: World, people: int, days: int, seed: int, residuals: list[np.ndarray] | None) -> None:
        self.world, self.people, self.days, self.seed = world, people, days, seed
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence([seed, 20260301]).spawn(6)]
        self.present = self._present(streams[0])
        self.available = self.present & (streams[0].random((people, days)) < world["availability"])
        self.emotion, self.seen = self._emotions(streams[1])
        self.dass_latent, self.dass = self._dass(streams[2])
        self.day = self._days(streams[3], residuals)
        self._likes = streams[4]
        self.uniforms = streams[5].random((people, days, 7))
        self.level = world["mood_person_sd"] * streams[5].standard_normal((people, 1))

    def _present(self, rng: np.random.Generator) -> np.ndarray:
        """Survival exp(-(t / scale)^shape): shape 1 in trials, below 1 in the wild, where most leave at once."""
        w = self.world
        left_at = w["attrition_scale_days"] * rng.exponential(size=(self.people, 1)) ** (1 / w["attrition_shape"])
        return np.arange(self.days) <= left_at

    def _emotions(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Each day yesterday's emotion or a fresh one of the person's own mixture; and what a check-in shows of it."""
        size, own = (self.people, self.days), rng.dirichlet(np.full(len(EMOTIONS), 1.5), self.people)
        fresh = (rng.random(size)[..., None] > own.cumsum(axis=1)[:, None, :-1]).sum(axis=2)
        stays, emotion = rng.random(size) < self.world["emotion_persistence"], fresh.copy()
        for t in range(1, self.days):
            emotion[:, t] = np.where(stays[:, t], emotion[:, t - 1], fresh[:, t])
        right = rng.random(size) < self.world["sensor_accuracy"]
        seen = np.where(right, emotion, (emotion + rng.integers(1, len(EMOTIONS), size)) % len(EMOTIONS))
        return emotion, np.where(rng.random(size) < self.world["check_in_rate"], seen, -1)

    def _dass(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Latent severity with the app (P, T, 3) in points, and the last answered questionnaire (every 14 days)."""
        w, scales = self.world, len(SCALES)
        sd = np.array([w["dass_sd_depression"], w["dass_sd_anxiety"], w["dass_sd_stress"]])
        mean = np.array([w["dass_mean_depression"], w["dass_mean_anxiety"], w["dass_mean_stress"]])
        alpha = np.array([w["dass_alpha_depression"], w["dass_alpha_anxiety"], w["dass_alpha_stress"]])
        common, own = rng.standard_normal((self.people, 1)), rng.standard_normal((self.people, scales))
        start = mean + sd * np.sqrt(alpha) * (math.sqrt(0.6) * common + math.sqrt(0.4) * own)
        gain = np.array([w["effect_depression"], w["effect_anxiety"], w["effect_depression"]]) * sd
        self.dass_change = -gain + w["dass_change_sd"] * sd * rng.standard_normal((self.people, scales))
        share = np.arange(self.days)[None, :, None] / DAYS
        latent = start[:, None] + share * self.dass_change[:, None]
        asked = 14 * (np.arange(self.days) // 14)
        error = (sd * np.sqrt(1 - alpha) * rng.standard_normal((self.people, self.days, scales)))[:, asked]
        return latent, 2 * np.round(np.clip(latent[:, asked] + error, 0, 42) / 2)

    def _days(self, rng: np.random.Generator, residuals: list[np.ndarray] | None) -> np.ndarray:
        """Standardised day-to-day variation: autoregressive, or a stretch of a real person's residuals."""
        if residuals is not None:
            whose = rng.integers(0, len(residuals), self.people)
            return np.array([_stretch(residuals[i], self.days, rng) for i in whose])
        shock, rho = rng.standard_normal((self.people, self.days)), self.world["day_autocorrelation"]
        for t in range(1, self.days):
            shock[:, t] = rho * shock[:, t - 1] + math.sqrt(1 - rho**2) * shock[:, t]
        return shock

    @cached_property
    def logits(self) -> np.ndarray:
        """Logit of completing each activity, (P, T, N)."""
        w, rng, (n, a) = self.world, self._likes, self.world.attributes.shape
        centred = w.attributes - w.attributes.mean(axis=0)
        spread = np.sqrt((centred**2).sum(axis=1).mean())
        seen, unseen = math.sqrt(w["attribute_share"]), math.sqrt(1 - w["attribute_share"])
        likes = w["person_sd"] * seen / spread * rng.standard_normal((2, self.people, a)) @ centred.T  # (2, P, N)
        own = w["person_sd"] * unseen * rng.standard_normal((self.people, n)) + likes[0]
        base = (
            special.logit(w["completion"])
            + w.activity_effects
            + w["person_level_sd"] * rng.standard_normal((self.people, 1))
        )
        result: np.ndarray = base[:, None] + own[:, None] + w["day_sd"] * self.day[..., None]
        if w.misspecification == "drifting":
            angle = (np.pi / 2 * np.arange(self.days) / DAYS)[None, :, None]
            result += (np.cos(angle) - 1) * likes[0][:, None] + np.sin(angle) * likes[1][:, None]
        return result + self._by_emotion(centred)

    def _by_emotion(self, centred: np.ndarray) -> np.ndarray:
        effect = np.swapaxes(centred @ self.world.gamma, 0, 1)[self.emotion]  # (P, T, N)
        if self.world.misspecification == "nonlinear":
            stressed = self.dass[..., 2] > self.world["dass_mean_stress"]
            effect = effect * np.where(stressed, -1.0, 1.0)[..., None]
        return effect

    @cached_property
    def expected(self) -> np.ndarray:
        """Expected reward of offering each activity, (P, T, N), were every answer given: what regret is measured by."""
        d, p = RewardDefinition(), special.expit(self.logits)
        helped = [self._mean_help(self.logits, done) for done in (0.0, 1.0)]
        mood = [self._mean_mood(self.logits, done) for done in (0.0, 1.0)]
        return (
            d.completed * p
            + d.helpfulness * ((1 - p) * helped[0] + p * helped[1] - 1) / 4
            + d.mood_change * ((1 - p) * mood[0] + p * mood[1] + 1) / 2
        )

    def _mean_help(self, logits: np.ndarray, done) -> np.ndarray:
        w = self.world
        relative = logits - special.logit(w["completion"])
        return np.clip(w["helpful_mean"] + w["helpful_if_done"] * (done - 1) + w["helpful_slope"] * relative, 1, 5)

    def _mean_mood(self, logits: np.ndarray, done) -> np.ndarray:
        w = self.world
        relative = logits - special.logit(w["completion"])
        return np.clip(w["mood_change_mean"] * done + w["mood_change_slope"] * relative, -1, 1)

    def outcome(self, day: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Completed (0, 1), helpfulness (1-5, NaN) and mood change (-1-1, NaN) of the chosen activities, (P,) each."""
        w, u = self.world, self.uniforms[:, day]
        logits = self.logits[np.arange(self.people), day, chosen]
        done = (u[:, 0] < special.expit(logits)).astype(float)
        normal = special.ndtri(np.clip(u[:, 1:3], 1e-9, 1 - 1e-9))
        helpful = np.clip(np.round(self._mean_help(logits, done) + w["helpful_sd"] * normal[:, 0]), 1, 5)
        change = self._mean_mood(logits, done) + w["mood_change_sd"] * normal[:, 1]
        change = np.clip(np.round(change * MOOD_STEPS) / MOOD_STEPS, -1, 1)
        told = u[:, 3:5] < np.where(done[:, None] > 0, w["answers_if_done"], w["answers_if_not"])
        return done, np.where(told[:, 0], helpful, np.nan), np.where(told[:, 1], change, np.nan)

    def sends(self, day: int, probability: float) -> np.ndarray:
        """Who is sent anything, (P,) 1 or 0: luck, a constant probability, and nobody who is not available."""
        return ((self.uniforms[:, day, 6] < probability) & self.available[:, day]).astype(float)

    def mood(self, day: int, sent: np.ndarray) -> np.ndarray:
        """Proximal outcome in the evening of a day, in standard deviations, (P,)."""
        w = self.world
        fading = max(1 - day / w["prompt_fades_days"], 0.0)
        noise = special.ndtri(np.clip(self.uniforms[:, day, 5], 1e-9, 1 - 1e-9))
        own = self.level[:, 0] + math.sqrt(w["mood_day_share"]) * self.day[:, day]
        return own + math.sqrt(1 - w["mood_day_share"]) * noise + w["prompt_effect"] * fading * sent

    def contexts(self, day: int, dose: np.ndarray, *, emotion: bool = True) -> np.ndarray:
        """What policies see, (P, C), in the order of `COLUMNS`; equal to `Context.vector` of the same moments.

        dose: (P,) deliveries of the last seven days.   emotion False: as if no check-in had been read.
        """
        seen = self.seen[:, day] if emotion else np.full(self.people, -1)
        columns: dict[str, np.ndarray] = {name: np.zeros(self.people) for name in COLUMNS}
        strength, n = self.world["shown_strength"], len(EMOTIONS)
        rest, there = (1 - strength) / (n - 1), seen >= 0
        entropy = -(strength * math.log(strength) + (n - 1) * rest * math.log(rest))
        for i, name in enumerate(EMOTIONS):
            columns[f"emotion_{name}"] = np.where(there, np.where(seen == i, strength, rest) - 1 / n, 0.0)
        columns["emotion_certainty"] = there * (1 - entropy / math.log(n))
        for modality in ("face", "voice"):
            columns[f"{modality}_weight"], columns[f"{modality}_missing"] = there * 0.5, 1.0 - there
        columns["text_missing"], columns["emotion_missing"] = np.ones(self.people), 1.0 - there
        for s, scale in enumerate(SCALES):
            columns[scale] = self.dass[:, day, s] / 42
        columns["dass_age"] = np.full(self.people, math.log1p(day % 14) / math.log1p(28))
        at = moment(day)
        hour, week = math.tau * at.hour / 24, math.tau * (at.weekday() + at.hour / 24) / 7
        for name, value in zip(("hour", "week"), (hour, week), strict=True):
            columns[f"{name}_sin"], columns[f"{name}_cos"] = (
                np.full(self.people, f(value)) for f in (math.sin, math.cos)
            )
        columns["day_in_programme"] = np.full(self.people, min(day / 56, 3.0))
        columns["dose_last_7_days"] = np.minimum(dose / 7, 3.0)
        return np.stack([columns[name] for name in COLUMNS], axis=1)


def moment(day: int) -> datetime:
    """Six in the evening, every day, for everybody."""
    return START + timedelta(days=day)


def outcome_of(completed: float, helpful: float, change: float) -> Outcome:
    """One outcome as the recommender takes it."""
    known = [None if math.isnan(value) else float(value) for value in (helpful, change)]
    return Outcome(bool(completed), known[0], known[1])


class Rewards:
    """`OutcomeModel` of the recommender, fitted on a pilot with random offers and kept; as a table, for speed.

    A pilot of other people (`people`, `seed`) stands in for the nightly fit: rewards already counted never change.
    """

    def __init__(self, world: World, *, people: int = 300, seed: int = 7, residuals=None) -> None:
        pilot, rng = world.cohort(people, seed, residuals=residuals), np.random.default_rng(seed)
        techniques, outcomes = [], []
        self.technique = np.array([world.techniques.index(a.technique) for a in world.activities])
        for day in range(0, pilot.days, 7):
            chosen = rng.integers(0, len(world.activities), people)
            here = pilot.present[:, day]
            techniques += [world.activities[i].technique for i in chosen[here]]
            outcomes += [outcome_of(*values) for values in np.stack(pilot.outcome(day, chosen), axis=1)[here]]
        self.model = OutcomeModel().fit(techniques, outcomes)
        self.table = self._tabulated(world.techniques)

    def of(self, chosen: np.ndarray, done: np.ndarray, helpful: np.ndarray, change: np.ndarray):
        """Centred rewards and the variance that missing answers leave, (P,) each."""
        h = np.where(np.isnan(helpful), 0, helpful).astype(int)
        m = np.where(np.isnan(change), 0, np.round(change * MOOD_STEPS) + MOOD_STEPS + 1).astype(int)
        found = self.table[self.technique[chosen], done.astype(int), h, m]
        return found[..., 0], found[..., 1]

    def _tabulated(self, techniques: tuple[str, ...]) -> np.ndarray:
        table = np.empty((len(techniques), 2, 6, 2 * MOOD_STEPS + 2, 2))
        for key in np.ndindex(table.shape[:-1]):
            helpful = math.nan if key[2] == 0 else float(key[2])
            change = math.nan if key[3] == 0 else (key[3] - 1) / MOOD_STEPS - 1
            table[key] = self.model.reward(techniques[key[0]], outcome_of(key[1], helpful, change))
        return table


def heartsteps_residuals(folder: Path) -> list[np.ndarray]:
    """Standardised residuals of log(steps in 30 minutes + .5) of each person of HeartSteps V1, after person and action.

    Raises UnknownWorld where the data are not at hand.
    """
    from recommender.heartsteps import NotAtHand, read

    try:
        rows = read(folder)
    except NotAtHand as absent:
        raise UnknownWorld(str(absent)) from absent
    series = []
    for person in np.unique(rows.person):
        mine = rows.person == person
        y = rows.reward[mine] - np.array([rows.reward[rows.action == a].mean() for a in range(3)])[rows.action[mine]]
        series.append(y - y.mean())
    scale = np.sqrt(np.mean(np.concatenate(series) ** 2))
    return [values / scale for values in series if len(values) >= 30]


def _stretch(values: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of a series, going round at its end."""
    start = int(rng.integers(0, len(values)))
    return values[(start + np.arange(length)) % len(values)]


def intervals() -> dict[str, dict[str, Any]]:
    """Each parameter's interval and source."""
    return json.loads((FOLDER / "literature.json").read_text())
