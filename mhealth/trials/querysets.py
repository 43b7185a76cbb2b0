"""Which rows of a trial somebody may see, and how the next slot is taken."""

from django.db import models
from django.db.models import Q

from mhealth.people.querysets import PersonalQuerySet
from mhealth.platform.access import roles_of


class TrialQuerySet(models.QuerySet):
    def visible_to(self, user):
        """The trials of the studies that this trial manager or researcher works on."""
        if not roles_of(user) & {"trial_manager", "researcher"}:
            return self.none()
        return self.filter(study__members__user=user.pk)

    def managed_by(self, user):
        return self.visible_to(user) if "trial_manager" in roles_of(user) else self.none()


class ArmQuerySet(models.QuerySet):
    def visible_to(self, user):
        if not roles_of(user) & {"trial_manager", "researcher"}:
            return self.none()
        return self.filter(trial__study__members__user=user.pk)


class TrialRowQuerySet(PersonalQuerySet):
    """Rows about one person in one trial; `trial` is the lookup path to the trial."""

    trial = "trial"

    def visible_to(self, user):
        """Own rows, rows of one's people, and for managers those of their trials."""
        return (super().visible_to(user) | self.managed_by(user)).distinct()

    def managed_by(self, user):
        if "trial_manager" not in roles_of(user):
            return self.none()
        return self.filter(**{f"{self.trial}__study__members__user": user.pk}).distinct()


class EnrolmentQuerySet(TrialRowQuerySet):
    def present(self):
        """People who take part now: waiting for allocation or allocated."""
        return self.filter(status__in=["candidate", "allocated"])

    def counts(self) -> dict[str, int]:
        """People by status."""
        return dict(self.order_by().values_list("status").annotate(people=models.Count("pk")))

    def in_effect(self):
        """The enrolments that decide what a person gets: a running trial lasts until it closes, also for
        allocated people who stopped answering; otherwise leaving would tell the arm."""
        return self.filter(Q(status="candidate") | Q(slot__isnull=False), trial__status="running")


class EnrolmentNoteQuerySet(TrialRowQuerySet):
    person = "enrolment__participant"
    trial = "enrolment__trial"


class ScreeningQuerySet(models.QuerySet):
    def managed_by(self, user):
        if "trial_manager" not in roles_of(user):
            return self.none()
        return self.filter(trial__study__members__user=user.pk)

    visible_to = managed_by

    def newest_of_each(self) -> list:
        """The last look at each person, and all entries about people whom the service does not know."""
        looks = list(self.order_by("assessed_at", "pk"))
        named = {look.participant_id: look for look in looks if look.participant_id}
        return [*named.values(), *(look for look in looks if not look.participant_id)]


class UnblindingRequestQuerySet(models.QuerySet):
    def managed_by(self, user):
        if "trial_manager" not in roles_of(user):
            return self.none()
        return self.filter(trial__study__members__user=user.pk)

    visible_to = managed_by

    def approved_for(self, user):
        """Asked for by this user, who still works on the study."""
        return self.managed_by(user).filter(status="approved", asked_by=user.pk)


class SlotQuerySet(models.QuerySet):
    def take_next(self, *, trial, stratum: str, enrolment):
        """Give the first free slot of the stratum to the enrolment, or return None when there is none.

        Two at once see the same free slot; the conditional UPDATE lets one of them have it and the
        other looks again. Positions are taken in order, without gaps.
        """
        free = self.filter(trial=trial, stratum=stratum, taken_by=None).order_by("position")
        while slot := free.first():
            if self.filter(pk=slot.pk, taken_by=None).update(taken_by=enrolment):
                return slot
        return None
