import hashlib
import re
import secrets
import uuid
from datetime import timedelta

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken, AuthTokenManager

from mhealth.people.querysets import PersonalQuerySet
from mhealth.platform.access import roles_of
from mhealth.platform.leases import Work, WorkQuerySet
from mhealth.platform.models import DataKey
from mhealth.platform.row_security import acting_for_everybody

NO_MAIL_DOMAIN = "enrolled.invalid"  # who enrols without a mail address gets one that can never be delivered


class UserManager(BaseUserManager):
    def create_user(self, email: str, password: str | None = None, **fields):
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str, **fields):
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, email: str):
        return self.get(email__iexact=email)


class User(AbstractUser):
    """An account: a mail address and a password. What it may do comes from its roles."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = None
    email = models.EmailField(unique=True)
    credentials = models.CharField(max_length=200, blank=True, help_text="Professional credentials of a clinician.")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []
    objects = UserManager()

    def __str__(self) -> str:
        return self.get_full_name() or self.email

    @property
    def has_mail(self) -> bool:
        return not self.email.endswith(f"@{NO_MAIL_DOMAIN}")


class Study(models.Model):
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    languages = models.JSONField(default=list, help_text="Language codes, the first is the fallback.")
    countries = models.JSONField(default=list, help_text="ISO 3166 codes.")
    sites = models.JSONField(default=list)
    contact_email = models.EmailField()
    purpose = models.CharField(
        max_length=12,
        choices=[("medical", "medical or research"), ("workplace", "workplace"), ("education", "education")],
        default="medical",
        help_text="Emotion recognition for workplace or education without a medical purpose is refused.",
    )
    settings = models.JSONField(default=dict, blank=True, help_text="See docs/operations.md, study settings.")
    salt = models.BinaryField(default=secrets.token_bytes, editable=False)  # of export pseudonyms

    class Meta:
        verbose_name_plural = "studies"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(purpose="medical"), name="no_emotion_recognition_at_work_or_school"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def language(self) -> str:
        return self.languages[0] if self.languages else "en"


class StudyMember(models.Model):
    """A researcher, trial manager, reviewer or operator works on a study."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["study", "user"], name="one_membership")]

    def __str__(self) -> str:
        return f"{self.user} in {self.study}"


class CareTeam(models.Model):
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="care_teams")
    name = models.CharField(max_length=100)
    clinicians = models.ManyToManyField(User, related_name="care_teams", blank=True)

    def __str__(self) -> str:
        return self.name


class ParticipantQuerySet(PersonalQuerySet):
    person = ""

    def active(self):
        return self.filter(status=Participant.Status.ACTIVE)

    def hold(self, pk: uuid.UUID) -> "Participant":
        """The row, locked until the transaction ends: what a person says and what comes in of theirs take turns."""
        with acting_for_everybody(because="who was erased in between is found erased, and not missing"):
            return self.select_for_update(no_key=True).get(pk=pk)

    def managed_by(self, user):
        """The people of the studies that this trial manager or researcher works on: counts and trial rows only."""
        if not roles_of(user) & {"trial_manager", "researcher"}:
            return self.none()
        return self.filter(study__members__user=user)


class Participant(models.Model):
    class Sex(models.TextChoices):
        FEMALE = "female"
        MALE = "male"
        OTHER = "other"

    class Status(models.TextChoices):
        ACTIVE = "active"
        STOPPED = "stopped"
        ERASED = "erased"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Nothing of the account survives an erasure; the row stays as a tombstone for the trial's counts.
    user = models.OneToOneField(User, on_delete=models.SET_NULL, null=True, related_name="participant")
    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="participants")
    care_team = models.ForeignKey(
        CareTeam, on_delete=models.SET_NULL, null=True, blank=True, related_name="participants"
    )
    data_key = models.OneToOneField(DataKey, on_delete=models.PROTECT, editable=False)
    site = models.CharField(max_length=50)
    language = models.CharField(max_length=10, default="en")
    zone = models.CharField(max_length=64, default="UTC", help_text="IANA time zone.")
    country = models.CharField(max_length=2, blank=True)
    birth_year = models.PositiveSmallIntegerField(
        null=True, validators=[MinValueValidator(1900), MaxValueValidator(2100)]
    )
    sex = models.CharField(max_length=10, choices=Sex, blank=True)
    gender = models.CharField(max_length=50, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    joined_at = models.DateTimeField(default=timezone.now)
    stopped_at = models.DateTimeField(null=True, blank=True)

    objects = ParticipantQuerySet.as_manager()

    def __str__(self) -> str:
        return f"participant {str(self.pk)[:8]}"

    def agreed_to(self, scope: str) -> bool:
        """Whether the last word on this scope is "given". By id: our clock may have been set back in between."""
        last = self.consents.filter(scope=scope).order_by("-id").first()
        return bool(last and last.given)

    def consents_to(self, scope: str) -> bool:
        """Whether something new may be done under this scope: who has stopped keeps their word, and gives nothing."""
        return self.status == self.Status.ACTIVE and self.agreed_to(scope)

    def scopes(self) -> dict[str, bool]:
        """Every scope with the latest word on it."""
        said = dict(self.consents.order_by("id").values_list("scope", "given"))
        return {scope: said.get(scope, False) for scope in Scope.values}


class EnrolmentCodeQuerySet(models.QuerySet):
    ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"  # nothing that a hand-typed code confuses
    LENGTH = 16  # 78 bits: guessing is hopeless, so an unsalted hash is enough

    def make(self, *, study: Study, site: str, care_team: CareTeam | None = None, days: int = 90) -> str:
        """Store one code's hash and return the code, which nothing shows again."""
        code = "".join(secrets.choice(self.ALPHABET) for _ in range(self.LENGTH))
        self.create(
            digest=EnrolmentCode.digest_of(code),
            study=study,
            site=site,
            care_team=care_team,
            expires_at=timezone.now() + timedelta(days=days),
        )
        return "-".join(code[n : n + 4] for n in range(0, self.LENGTH, 4))

    def use(self, code: "EnrolmentCode", participant: Participant) -> bool:
        """Take the code for this person; False if somebody was faster."""
        return bool(self.filter(pk=code.pk, used_at=None).update(used_at=timezone.now(), used_by=participant))


class EnrolmentCode(models.Model):
    """A one-time code that lets somebody join; only its hash is stored."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE)
    site = models.CharField(max_length=50)
    care_team = models.ForeignKey(CareTeam, on_delete=models.SET_NULL, null=True, blank=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, editable=False)
    used_by = models.ForeignKey(Participant, on_delete=models.SET_NULL, null=True, editable=False, related_name="codes")

    objects = EnrolmentCodeQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.study} {self.site} {'used' if self.used_at else 'open'}"

    @staticmethod
    def digest_of(code: str) -> str:
        return hashlib.sha256(re.sub(r"[\s-]", "", code).upper().encode()).hexdigest()


class AppendOnlyError(Exception):
    """An attempt to change or delete a row that stands for what was said at a moment."""


class Scope(models.TextChoices):
    FACE = "face"
    VOICE = "voice"
    TEXT = "text"
    TRIAL = "trial"
    RESEARCH_REUSE = "research_reuse"
    CONTACT = "contact"


class ConsentDocument(models.Model):
    """One version of what people agree to, in one language."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="consent_documents")
    version = models.CharField(max_length=20)
    language = models.CharField(max_length=10)
    text = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["study", "version", "language"], name="one_consent_text")]

    def __str__(self) -> str:
        return f"{self.study} {self.version} {self.language}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


class ConsentQuerySet(PersonalQuerySet):
    def update(self, **_fields):
        raise AppendOnlyError("consents are append-only")


class Consent(models.Model):
    """What a person said about one scope at one moment: given or withdrawn. Append-only."""

    id = models.BigAutoField(primary_key=True)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="consents")
    scope = models.CharField(max_length=20, choices=Scope)
    given = models.BooleanField()
    given_at = models.DateTimeField(default=timezone.now)
    document_version = models.CharField(max_length=20)
    language = models.CharField(max_length=10)
    text_digest = models.CharField(max_length=64)
    how = models.CharField(max_length=20, default="app")

    objects = ConsentQuerySet.as_manager()

    class Meta:
        ordering = ["given_at", "id"]

    def __str__(self) -> str:
        return f"{self.scope} {'given' if self.given else 'withdrawn'}"

    def save(self, **kwargs) -> None:
        if self.pk:
            raise AppendOnlyError("consents are append-only")
        super().save(**kwargs)


class FollowUpQuerySet(PersonalQuerySet):
    def open(self):
        """What some room has still to follow, oldest first."""
        return self.filter(done_at=None).order_by("said_at", "id")

    def overdue(self):
        return self.open().filter(said_at__lt=timezone.now() - FollowUp.PATIENCE)


class FollowUp(models.Model):
    """A person's word that every room must follow: a withdrawn scope, an end of taking part. Stored with the word."""

    PATIENCE = timedelta(minutes=10)  # rooms follow within seconds; after this an operator should know

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="follow_ups")
    scope = models.CharField(max_length=20, choices=Scope)
    delete_media = models.BooleanField(default=False)  # "stop" alone deletes none
    said_at = models.DateTimeField(default=timezone.now)
    followed = models.JSONField(default=list)  # names of the rooms that have
    done_at = models.DateTimeField(null=True)
    fault = models.CharField(max_length=300, blank=True)  # class and place of the newest, never content

    objects = FollowUpQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["said_at"], condition=models.Q(done_at=None), name="follow_ups_to_do")]

    def __str__(self) -> str:
        return f"follow-up of {self.participant}: {self.scope}"


class DeviceManager(AuthTokenManager):
    def ended(self):
        """Sessions that ended a month ago."""
        return self.filter(expiry__lt=timezone.now() - timedelta(days=30))


class Device(AbstractAuthToken):
    """A phone that is signed in: the row is its (hashed) token. Deleting it signs the phone out."""

    IDLE = timedelta(days=30)
    ABSOLUTE = timedelta(days=180)
    STAFF = timedelta(hours=8)  # staff sign in anew each working day
    RENEWED_EVERY = timedelta(hours=1)  # so that reading does not write on every request

    id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, blank=True)
    push_token = models.CharField(max_length=300, blank=True)

    objects = DeviceManager()

    def __str__(self) -> str:
        return self.name or str(self.id)

    @property
    def has_expired(self) -> bool:
        return self.expiry is not None and self.expiry <= timezone.now()

    def renew(self) -> None:
        """Put off the idle limit, up to the absolute one."""
        if self.user.is_staff:
            return
        expiry = min(timezone.now() + self.IDLE, self.created + self.ABSOLUTE)
        if self.expiry is None or expiry - self.expiry > self.RENEWED_EVERY:
            self.expiry = expiry
            self.save(update_fields=["expiry"])


class ErasureRequestQuerySet(PersonalQuerySet):
    def pending(self):
        return self.filter(cancelled_at=None, done_at=None)

    def due(self):
        return self.pending().filter(due_at__lte=timezone.now())


class ErasureRequest(models.Model):
    """A person asked to be forgotten. They may change their mind until it is due."""

    DELAY = timedelta(days=7)

    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="erasure_requests")
    asked_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    objects = ErasureRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["participant"],
                condition=models.Q(cancelled_at=None, done_at=None),
                name="one_pending_erasure",
            )
        ]

    def __str__(self) -> str:
        return f"erasure of {self.participant}"


class DataExportQuerySet(PersonalQuerySet, WorkQuerySet):
    def outdated(self):
        return self.filter(finished_at__lt=timezone.now() - DataExport.KEPT)


class DataExport(Work):
    """Everything we hold on a person, as a ZIP that a worker writes and seals."""

    KEPT = timedelta(days=7)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE, related_name="exports")
    file = models.CharField(max_length=32, blank=True, editable=False)  # in the media store
    size = models.PositiveIntegerField(default=0)

    objects = DataExportQuerySet.as_manager()

    def __str__(self) -> str:
        return f"export of {self.participant}"

    @property
    def place(self) -> str:
        """The associated data of the encryption."""
        return f"people_dataexport/{self.pk}/file"
