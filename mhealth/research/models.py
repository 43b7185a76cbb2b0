import uuid
from datetime import timedelta

from django.core import signing
from django.db import models
from django.db.models import Q
from django.utils import timezone

from mhealth.people.models import User
from mhealth.platform import media
from mhealth.platform.access import roles_of
from mhealth.platform.leases import Work, WorkQuerySet, WorkStatus
from mhealth.trials.models import Trial


class ExportQuerySet(WorkQuerySet):
    def visible_to(self, user):
        """Exports of the studies that this researcher works on."""
        if "researcher" not in roles_of(user):
            return self.none()
        return self.filter(trial__study__members__user=user.pk)

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
    cut_off = models.DateTimeField(null=True, editable=False)
    n_rows = models.PositiveIntegerField(null=True, editable=False)
    sha256 = models.CharField(max_length=64, blank=True, editable=False)  # of the manifest
    file = models.CharField(max_length=32, blank=True, editable=False)  # in the media store
    size = models.PositiveBigIntegerField(default=0, editable=False)

    objects = ExportQuerySet.as_manager()

    def __str__(self) -> str:
        return f"export of {self.trial}"

    @property
    def subject(self) -> str:
        return f"research.Export/{self.pk}"

    @property
    def ready(self) -> bool:
        return self.status == WorkStatus.DONE and bool(self.file)

    def seal(self, content: bytes) -> str:
        """Store under the trial's key; returns the name in the media store."""
        return media.store("research").put(self.trial.key.seal(content, self._place))

    def content(self) -> bytes:
        """Raises MediaGone."""
        return self.trial.key.unseal(media.store("research").get(self.file), self._place)

    def delete_file(self) -> None:
        if self.file:
            media.store("research").delete(self.file)
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
