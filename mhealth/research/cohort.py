"""The people of an export: pseudonyms, arms as far as they may be told, and days instead of dates."""

import base64
import hmac
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property

from django.db.models import Max

from interventions.models import Decision, DecisionEvent
from mhealth.checkins.models import CheckIn, Estimate
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response
from mhealth.people.models import Participant, Study
from mhealth.research.chunk import Answered, Chunk, Planned
from mhealth.research.person import Entry, Person
from mhealth.research.person import Participant as Somebody
from mhealth.trials.models import Slot, Trial, Withdrawal
from mhealth.trials.services import assessment

CHUNK = 100  # people in memory at once
SMALL_CELL = 5  # fewer people than this in a combination of quasi-identifiers can be recognised
BAND_STARTS = ((65, "65 and over"), (55, "55-64"), (45, "45-54"), (35, "35-44"), (25, "25-34"), (18, "18-24"))


def pseudonym(study: Study, participant: Participant) -> str:
    """The same in every export of a study, another in every study; nobody without the salt can make it."""
    return code_of(bytes(study.salt), participant.pk)


def code_of(salt: bytes, participant_id: uuid.UUID) -> str:
    digest = hmac.digest(salt, participant_id.bytes, "sha256")
    return "P" + base64.b32encode(digest)[:12].decode()


def age_band(participant: Somebody, at: datetime) -> str:
    if participant.birth_year is None:
        return ""
    age = at.year - participant.birth_year - 1  # full years for certain: only the year of birth is known
    return next((band for start, band in BAND_STARTS if age >= start), "under 18")


class Cohort:
    """Everybody who entered the trial and was not erased, as of the newest row the database holds about them.

    sites: only people of these; all where it is empty.
    """

    def __init__(self, trial: Trial, sites: tuple[str, ...] = ()) -> None:
        self.trial = Trial.objects.select_related("study", "key").prefetch_related("arms").get(pk=trial.pk)
        self.sites = sites
        self.share_read = 0.0  # of the people, in the table that is being written
        present = self.trial.enrolments.exclude(participant__status=Participant.Status.ERASED)
        self.enrolments = present.filter(participant__site__in=sites) if sites else present
        self.cut_off = self._cut_off()

    def _cut_off(self) -> datetime:
        """The moment of the newest row, to the next full second: repeating an export of the same data repeats it."""
        people = self.enrolments.values("participant")
        newest = [
            self.trial.created_at,
            *self.trial.enrolments.aggregate(Max("enrolled_at"), Max("allocated_at")).values(),
            *self.trial.screenings.aggregate(Max("assessed_at")).values(),
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

    @property
    def people(self) -> Iterator[Person]:
        """One after another, by pseudonym: the order tells nothing of when somebody came."""
        for start in range(0, len(self), CHUNK):
            self.share_read = start / len(self)
            near = Chunk(self, self._order[start : start + CHUNK])
            yield from (self.person(code, entry, near) for code, entry in near.entries)
        self.share_read = 1.0

    @cached_property
    def _order(self) -> list[tuple[str, uuid.UUID]]:
        """(pseudonym, enrolment)"""
        rows = self.enrolments.filter(enrolled_at__lte=self.cut_off).values_list("participant_id", "pk")
        return sorted((code_of(bytes(self.trial.study.salt), person), pk) for person, pk in rows)

    def __len__(self) -> int:
        return len(self._order)

    def person(self, code: str, entry: Entry, near: Chunk) -> Person:
        consented_at = near.consented_at.get(entry.participant.pk, entry.enrolment.enrolled_at)
        return Person(code=code, arm=self._arm(entry), consented_at=consented_at, entry=entry, near=near)

    def _arm(self, entry: Entry) -> str:
        if entry.enrolment.allocated_at is None:
            return ""
        arm = self._arms[Slot(trial=self.trial, **entry.slot._asdict()).arm_index()]
        return self._labels[arm.pk] if self._masked else arm.name

    @cached_property
    def _masked(self) -> bool:
        return self.trial.masked

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

    def occasions(self, person: Person) -> list[Planned]:
        """Planned during the trial, and the one whose answers were taken as the baseline."""
        return person.near.occasions[person.participant.pk]

    def responses(self, person: Person) -> list[Answered]:
        """Answers that count, in the order of their occasions."""
        return person.near.responses[person.participant.pk]

    def check_ins(self, person: Person) -> list[CheckIn]:
        """Finished ones of the trial, by recorded time."""
        return person.near.check_ins[person.participant.pk]

    def decisions(self, person: Person) -> list[Decision]:
        """All that were made during the trial, with what the person did."""
        return person.near.decisions[person.participant.pk]

    def offers(self, person: Person) -> list[Decision]:
        """Decisions that offered an activity: counts only, never which policy chose."""
        return [decision for decision in self.decisions(person) if decision.version_id]

    def left_at(self, person: Person) -> datetime:
        """The end of participation: of the person's, of the trial, or of what we know."""
        return min(filter(None, (person.withdrawn_at, self.until)))

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
        """People by status, erased ones included: the counts of a flow of participants add up.

        Whoever was erased is of no site any more, so that in an export of some sites they stand as "erased, any site".
        """
        counts = Counter(self.enrolments.values_list("status", flat=True))
        gone = self.trial.enrolments.filter(participant__status=Participant.Status.ERASED)
        counts["erased, any site" if self.sites else "erased"] = gone.count()
        return dict(sorted(counts.items()))

    def assessed(self) -> dict[str, int]:
        """Everybody who was assessed for eligibility, and why some were not randomised."""
        found = assessment(self.trial, until=self.cut_off, sites=self.sites)
        return {"assessed": found.assessed, **found.turned_away, "waiting": found.waiting, "left": found.left}
