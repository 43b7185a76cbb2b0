"""The people of an export: pseudonyms, arms as far as they may be told, and days instead of dates."""

import base64
import hmac
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from django.db.models import Max, Prefetch, Q

from interventions.models import Decision, DecisionEvent
from mhealth.checkins.models import CheckIn, Estimate
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response
from mhealth.people.models import Participant, Scope, Study
from mhealth.trials.models import Enrolment, Trial, Withdrawal

SMALL_CELL = 5  # fewer people than this in a combination of quasi-identifiers can be recognised
BAND_STARTS = ((65, "65 and over"), (55, "55-64"), (45, "45-54"), (35, "35-44"), (25, "25-34"), (18, "18-24"))


@dataclass(frozen=True)
class Person:
    code: str
    arm: str
    enrolment: Enrolment
    consented_at: datetime

    @property
    def participant(self) -> Participant:
        return self.enrolment.participant

    def days(self, at: datetime) -> dict[str, int | None]:
        """`day` for randomised people, `day_from_consent` for the others."""
        randomised = self.enrolment.allocated_at is not None
        return {
            "day": self.enrolment.day(at) if randomised else None,
            "day_from_consent": None if randomised else self.days_between(self.consented_at, at),
        }

    def days_between(self, start: datetime, end: datetime) -> int:
        zone = ZoneInfo(self.participant.zone)
        return (end.astimezone(zone).date() - start.astimezone(zone).date()).days


def pseudonym(study: Study, participant: Participant) -> str:
    """The same in every export of a study, another in every study; nobody without the salt can make it."""
    digest = hmac.digest(bytes(study.salt), participant.pk.bytes, "sha256")
    return "P" + base64.b32encode(digest)[:12].decode()


def age_band(participant: Participant, at: datetime) -> str:
    if participant.birth_year is None:
        return ""
    age = at.year - participant.birth_year - 1  # full years for certain: only the year of birth is known
    return next((band for start, band in BAND_STARTS if age >= start), "under 18")


class Cohort:
    """Everybody who entered the trial and was not erased, as of the newest row the database holds about them."""

    def __init__(self, trial: Trial) -> None:
        self.trial = Trial.objects.select_related("study", "key").get(pk=trial.pk)
        self.enrolments = self.trial.enrolments.exclude(participant__status=Participant.Status.ERASED)
        self.cut_off = self._cut_off()

    def _cut_off(self) -> datetime:
        """The moment of the newest row, to the next full second: repeating an export of the same data repeats it."""
        people = self.enrolments.values("participant")
        newest = [
            self.trial.created_at,
            *self.trial.enrolments.aggregate(Max("enrolled_at"), Max("allocated_at")).values(),
            *Withdrawal.objects.filter(enrolment__trial=self.trial).aggregate(Max("recorded_at")).values(),
            *Response.objects.filter(occasion__participant__in=people).aggregate(Max("received_at")).values(),
            *Occasion.objects.filter(participant__in=people).aggregate(Max("created_at")).values(),
            *CheckIn.objects.filter(participant__in=people).aggregate(Max("finished_at")).values(),
            *Decision.objects.filter(participant__in=people).aggregate(Max("decided_at")).values(),
            *DecisionEvent.objects.filter(decision__participant__in=people).aggregate(Max("received_at")).values(),
            self.trial.closed_at,
            self.trial.unblinded_at,
        ]
        return max(filter(None, newest)).replace(microsecond=0) + timedelta(seconds=1)

    @cached_property
    def people(self) -> list[Person]:
        """By pseudonym: the order tells nothing of when somebody came."""
        rows = self.enrolments.select_related("participant__data_key", "slot").prefetch_related("participant__consents")
        return sorted((self._person(row) for row in rows.filter(enrolled_at__lte=self.cut_off)), key=lambda p: p.code)

    def _person(self, enrolment: Enrolment) -> Person:
        given = [c.given_at for c in enrolment.participant.consents.all() if c.scope == Scope.TRIAL and c.given]
        return Person(
            code=pseudonym(self.trial.study, enrolment.participant),
            arm=self._arm(enrolment),
            enrolment=enrolment,
            consented_at=min(given, default=enrolment.enrolled_at),
        )

    def _arm(self, enrolment: Enrolment) -> str:
        if enrolment.allocated_at is None:
            return ""
        enrolment.slot.trial = self.trial
        arm = self._arms[enrolment.slot.arm_index()]
        return self._labels[arm.pk] if self.trial.masked else arm.name

    @cached_property
    def _arms(self) -> list:
        return self.trial.ordered_arms()

    @cached_property
    def _labels(self) -> dict[int, str]:
        return self.trial.labels()

    @cached_property
    def versions(self) -> list[InstrumentVersion]:
        """Instrument versions planned for these people, in a fixed order."""
        planned = Occasion.objects.filter(
            participant__in=self.enrolments.values("participant"), created_at__lte=self.cut_off
        )
        versions = InstrumentVersion.objects.filter(pk__in=planned.values("version")).select_related("instrument")
        return sorted(versions, key=lambda version: (version.instrument.slug, version.version))

    @property
    def until(self) -> datetime:
        """What people do after the trial has closed belongs to no trial, or to the next."""
        return min(self.cut_off, self.trial.closed_at or self.cut_off)

    def occasions(self, person: Person):
        """Planned during the trial, and the one whose answers were taken as the baseline."""
        enrolment = person.enrolment
        during = Q(created_at__gte=enrolment.enrolled_at, created_at__lte=self.until)
        planned = Occasion.objects.filter(during | Q(responses=enrolment.baseline_id), participant=person.participant)
        return planned.select_related("version__instrument").order_by("opens_at", "number", "id").distinct()

    def responses(self, person: Person):
        """Answers that count, in the order of their occasions, with scores."""
        mine = self.occasions(person).order_by().values("pk")
        rows = Response.objects.for_analysis().filter(occasion__in=mine, received_at__lte=self.cut_off)
        rows = rows.select_related("occasion__version__instrument").prefetch_related("scores")
        return rows.order_by("answered_at", "id")

    def check_ins(self, person: Person):
        rows = CheckIn.objects.filter(
            participant=person.participant, status__in=["done", "unusable"], finished_at__lte=self.cut_off
        ).filter(recorded_at__lte=self.until)
        return rows.select_related("correction").prefetch_related("estimates").order_by("recorded_at", "id")

    def offers(self, person: Person):
        """Decisions that offered an activity, with what the person did: counts only, never which policy chose."""
        heard = Prefetch("events", DecisionEvent.objects.filter(received_at__lte=self.cut_off).order_by("at", "id"))
        rows = Decision.objects.offered().filter(participant=person.participant, decided_at__lte=self.until)
        return rows.prefetch_related(heard).order_by("decided_at", "id")

    def recognisers(self) -> list[str]:
        """Versions of the recognisers whose estimates these people have."""
        made = Estimate.objects.filter(check_in__participant__in=self.enrolments.values("participant"))
        return sorted(set(made.order_by().values_list("model_version", flat=True)) - {""})

    def n_left_out(self) -> int:
        """Answers kept but not exported: outside their window, or other answers for the same occasion."""
        people = self.enrolments.values("participant")
        kept = Response.objects.filter(occasion__participant__in=people, received_at__lte=self.cut_off)
        return kept.count() - kept.for_analysis().count()

    def flow(self) -> dict[str, int]:
        """People by status, erased ones included: the counts of a flow of participants add up."""
        counts = Counter(self.enrolments.values_list("status", flat=True))
        counts["erased"] = self.trial.enrolments.count() - sum(counts.values())
        return dict(sorted(counts.items()))
