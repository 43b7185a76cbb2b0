import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.core import signing
from django.db import models
from django.db.models import Q
from django.utils import timezone

from mhealth.people.models import User
from mhealth.platform.access import roles_of
from mhealth.platform.leases import Work, WorkQuerySet, WorkStatus
from mhealth.research import vault
from mhealth.trials.models import Trial


class ExportQuerySet(WorkQuerySet):
    def visible_to(self, user):
        """Exports of the studies that this researcher works on."""
        if "researcher" not in roles_of(user):
            return self.none()
        return self.filter(trial__study__members__user=user.pk)

    def to_approve(self, user):
        """Identifiable exports of the studies that this trial manager works on, but for their own."""
        if "trial_manager" not in roles_of(user):
            return self.none()
        theirs = self.filter(trial__study__members__user=user.pk, identifiable=True)
        return theirs.exclude(asked_by=user.pk).exclude(asked_by=None)

    def abandoned(self):
        """Of commands that died: they run without a lease, in the process of whoever called them."""
        long_ago = timezone.now() - Export.KEPT
        return self.filter(status=WorkStatus.RUNNING, leased_until=None, queued_at__lt=long_ago)

    def outdated(self):
        return self.filter(Q(finished_at__lt=timezone.now() - Export.KEPT)).exclude(file="")


class Export(Work):
    """A package of a trial's data, asked for by a researcher; a worker writes and seals it."""

    KEPT = timedelta(days=7)
    LINK_LASTS = timedelta(minutes=15)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trial = models.ForeignKey(Trial, on_delete=models.PROTECT, related_name="exports")
    asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    reason = models.CharField(max_length=300)
    formats = models.JSONField(default=list)  # empty: all
    sites = models.JSONField(default=list)  # empty: all
    identifiable = models.BooleanField("with identities", default=False)
    decided_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+", editable=False)
    decided_at = models.DateTimeField("decided", null=True, editable=False)
    approved = models.BooleanField(null=True, editable=False)  # of an identifiable one, by a second person
    progress = models.PositiveSmallIntegerField(default=0, editable=False)  # percent
    people_in_small_cells = models.PositiveIntegerField("people in cells of fewer than five", null=True, editable=False)
    cut_off = models.DateTimeField("data up to", null=True, editable=False)
    n_rows = models.PositiveIntegerField(null=True, editable=False)
    sha256 = models.CharField(max_length=64, blank=True, editable=False)  # of the manifest
    file = models.CharField(max_length=32, blank=True, editable=False)  # in the media store
    size = models.PositiveBigIntegerField("size in bytes", default=0, editable=False)

    objects = ExportQuerySet.as_manager()

    class Meta(Work.Meta):
        permissions = [("export_identifiable", "Can ask for identifiable columns")]
        constraints = [
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=models.F("asked_by")),
                name="identities_take_two_people",
            )
        ]

    def __str__(self) -> str:
        return f"export of {self.trial}"

    @property
    def subject(self) -> str:
        return f"research.Export/{self.pk}"

    @property
    def ready(self) -> bool:
        return self.status == WorkStatus.DONE and bool(self.file)

    @property
    def stage(self) -> str:
        """Where it stands, in the words of the API."""
        if self.identifiable and self.approved is None:
            return "awaiting_approval"
        return "refused" if self.approved is False else self.status

    def seal(self, package: Path) -> str:
        """Store under the trial's key; returns the name in the store."""
        return vault.put(self.trial.key, self._place, package)

    def pieces(self) -> Iterator[bytes]:
        """The package, piece by piece. Raises MediaGone."""
        return vault.pieces(self.trial.key, self._place, self.file)

    def note_progress(self, share: float) -> None:
        """Under the lease of whoever builds it."""
        self._mine().update(progress=int(100 * share))

    def delete_file(self) -> None:
        if self.file:
            vault.store().delete(self.file)
            Export.objects.filter(pk=self.pk).update(file="")

    def link_token(self, user: User) -> str:
        """Proof, for a quarter of an hour, that this user was given the link."""
        return signing.dumps([str(self.pk), str(user.pk)], salt="research.export")

    @classmethod
    def user_of_link(cls, token: str, export_id: uuid.UUID) -> str:
        """The id of the user whom the link was given. Raises signing.BadSignature."""
        export, user = signing.loads(token, salt="research.export", max_age=cls.LINK_LASTS)
        if export != str(export_id):
            raise signing.BadSignature("a link of another export")
        return user

    @property
    def _place(self) -> str:
        return f"research_export/{self.pk}/file"
