"""What in the data of a trial deserves a second look: each flag with its definition and the rows behind it."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from math import comb

from django.db.models import Count

from mhealth.checkins.models import CheckIn
from mhealth.outcomes import scoring
from mhealth.outcomes.models import InstrumentVersion, Response, ScaleScore
from mhealth.people.models import Device, Participant
from mhealth.portal.overview.people import Picture, occasions_of
from mhealth.trials.models import Enrolment, Trial

FEWEST_ITEMS = 5  # the same answer to fewer items says nothing
SMALL_CELL = 5  # people
UNUSUAL = 0.01  # p of a site's missingness


@dataclass(frozen=True)
class Row:
    """person: of the participant; what: the questionnaire or check-in; at: when."""

    person: uuid.UUID
    what: str
    at: datetime


@dataclass(frozen=True)
class Flag:
    """rows: what is behind it, oldest first."""

    key: str
    title: str
    definition: str
    rows: tuple[Row, ...]


def flags(trial: Trial) -> list[Flag]:
    return [Flag(key, title, why, tuple(sorted(find(trial), key=_by_time))) for key, title, why, find in KINDS]


def flag(trial: Trial, key: str) -> Flag | None:
    kind = next((kind for kind in KINDS if kind[0] == key), None)
    return kind and Flag(*kind[:3], tuple(sorted(kind[3](trial), key=_by_time)))


def _by_time(row: Row) -> tuple:
    return row.at, row.person


def _responses(trial: Trial):
    return Response.objects.filter(occasion__in=occasions_of(trial))


def _as_rows(responses) -> Iterator[Row]:
    about = ("occasion__participant_id", "occasion__version__instrument__slug", "occasion__name", "answered_at")
    for person, slug, name, at in responses.values_list(*about).distinct():
        yield Row(person, f"{slug}, {name}", at)


def _out_of_window(trial: Trial) -> Iterator[Row]:
    return _as_rows(_responses(trial).filter(in_window=False, conflicting=False))


def _conflicting(trial: Trial) -> Iterator[Row]:
    return _as_rows(_responses(trial).filter(conflicting=True))


def _items_missing(trial: Trial) -> Iterator[Row]:
    return _as_rows(_responses(trial).for_analysis().filter(scores__n_missing__gt=0))


def _straight_lining(trial: Trial) -> Iterator[Row]:
    """Scores tell which answers may be all the same; only those are opened."""
    versions = InstrumentVersion.objects.filter(occasions__in=occasions_of(trial)).distinct()
    for version in versions.select_related("instrument"):
        rules = version.rules
        if rules.n_items < FEWEST_ITEMS:
            continue
        for answer in range(rules.minimum + 1, rules.maximum + 1):
            for response in _may_be_all(trial, version, answer):
                if response.answers == [answer] * rules.n_items:
                    about = f"{version.instrument.slug}, {response.occasion.name}"
                    yield Row(response.occasion.participant_id, about, response.answered_at)


def _may_be_all(trial: Trial, version: InstrumentVersion, answer: int):
    found = _responses(trial).for_analysis().filter(occasion__version=version)
    for scale, score in scoring.score(version.rules, [answer] * version.rules.n_items).items():
        found = found.filter(pk__in=ScaleScore.objects.filter(scale=scale, raw=score.raw).values("response"))
    there = found.exclude(occasion__participant__status=Participant.Status.ERASED)
    return there.select_related("occasion__participant__data_key")


def _clocks(trial: Trial) -> Iterator[Row]:
    yield from _as_rows(_responses(trial).filter(clock_suspect=True))
    seen = CheckIn.objects.filter(participant__enrolments__trial=trial, clock_suspect=True)
    for person, at in seen.values_list("participant_id", "recorded_at"):
        yield Row(person, "check-in", at)


def _shared_phones(trial: Trial) -> Iterator[Row]:
    devices = Device.objects.filter(user__participant__enrolments__trial=trial).exclude(push_token="")
    several = devices.values("push_token").annotate(people=Count("user", distinct=True)).filter(people__gt=1)
    shared = devices.filter(push_token__in=several.values("push_token"))
    for person, at in shared.values_list("user__participant", "created"):
        yield Row(person, "phone", at)


def _unscorable_baselines(trial: Trial) -> Iterator[Row]:
    waiting = trial.enrolments.filter(status=Enrolment.Status.CANDIDATE).values("participant")
    given = (
        _responses(trial)
        .for_analysis()
        .filter(occasion__participant__in=waiting, occasion__version__instrument__slug=trial.baseline_instrument)
    )
    holes = ScaleScore.objects.filter(value=None).values("response")
    whole = given.exclude(pk__in=holes).values("occasion__participant")
    return _as_rows(given.filter(pk__in=holes).exclude(occasion__participant__in=whole))


KINDS: tuple[tuple[str, str, str, Callable[[Trial], Iterator[Row]]], ...] = (
    ("window", "Answers outside their window", "Given before the questionnaire opened or after it closed, or received "
     "more than a week after that. Kept and screened for risk, left out of every analysis.", _out_of_window),
    ("conflict", "Second, different answers", "Other answers for an occasion that had been answered. The first stand; "
     "these are kept and screened for risk.", _conflicting),
    ("items", "Missing items", "A counted answer with at least one item of a scale left empty. One missing item of a "
     "DASS-21 scale is prorated; with more the scale has no score.", _items_missing),
    ("line", "The same answer throughout", "Every item of a questionnaire of five items or more has the same answer, "
     "other than the lowest (which may simply be true).", _straight_lining),
    ("clock", "Clock of the phone ahead", "An answer or a check-in whose time, by the phone, lay in the future; the "
     "time of arrival stands instead.", _clocks),
    ("phone", "One phone, several people", "The same phone (its address for reminders) was signed in for two or more "
     "people of the trial.", _shared_phones),
    ("baseline", "Baselines that cannot be scored", "A candidate who answered the baseline and has no answers of which "
     "every scale can be scored: they cannot be allocated until they fill it in again.", _unscorable_baselines),
)  # fmt: skip


@dataclass(frozen=True)
class Site:
    """people: randomised, with a follow-up that is over.   missed: of these, with one unanswered.
    shown: False where so few people, or the only other small site, could be recognised.   p: against all other sites.
    """

    name: str
    people: int
    missed: int
    shown: bool
    p: float

    @property
    def share(self) -> float:
        return self.missed / self.people if self.people else 0.0

    @property
    def unusual(self) -> bool:
        return self.shown and self.p < UNUSUAL


def sites(picture: Picture) -> list[Site]:
    """Whether some sites miss more, or fewer, follow-ups than the others (Fisher's exact test, people as units)."""
    there = {p.pk: p.site for p in picture.people if p.allocated_at and not p.left and not p.erased}
    missed: dict[uuid.UUID, bool] = defaultdict(bool)
    for planned in picture.of(picture.trial.baseline_instrument, picture.follow_ups):
        if planned.person in there and (planned.answered or planned.closes_at <= picture.now):
            missed[planned.person] |= not planned.answered
    people = Counter(there[pk] for pk in missed)
    without = Counter(there[pk] for pk, lost in missed.items() if lost)
    hidden = _hidden(people)
    n, lost = sum(people.values()), sum(without.values())
    return [
        Site(name, people[name], without[name], name not in hidden, _fisher(without[name], people[name], lost, n))
        for name in sorted(people)
    ]


def _hidden(people: Counter) -> set[str]:
    """Small sites; one alone would follow from the total, so the next smallest goes with it."""
    ordered = sorted(people, key=lambda name: (people[name], name))
    hidden = [name for name in ordered if people[name] < SMALL_CELL]
    return set(ordered[: max(len(hidden), 2)] if hidden else ())


def _fisher(hits: int, drawn: int, all_hits: int, n: int) -> float:
    """Two-sided p: of all tables with these margins, those no likelier than this one (Fisher 1934)."""
    low, high = max(0, drawn + all_hits - n), min(drawn, all_hits)
    ways = {k: comb(all_hits, k) * comb(n - all_hits, drawn - k) for k in range(low, high + 1)}
    return sum(way for way in ways.values() if way <= ways[hits]) / comb(n, drawn)
