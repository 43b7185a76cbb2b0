import hashlib
import secrets
import uuid

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken

from mhealth.people.querysets import PersonalQuerySet
from mhealth.platform.access import roles_of
from mhealth.platform.models import DataKey


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

    def consents_to(self, scope: str) -> bool:
        """Whether the latest word on this scope is "given"."""
        last = self.consents.filter(scope=scope).order_by("-given_at", "-id").first()
        return bool(last and last.given and self.status == self.Status.ACTIVE)


class EnrolmentCode(models.Model):
    """A one-time code that lets somebody join; only its hash is stored."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE)
    site = models.CharField(max_length=50)
    care_team = models.ForeignKey(CareTeam, on_delete=models.SET_NULL, null=True, blank=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.study} {self.site} {'used' if self.used_at else 'open'}"

    @staticmethod
    def digest_of(code: str) -> str:
        return hashlib.sha256(code.strip().upper().encode()).hexdigest()


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


class Device(AbstractAuthToken):
    """A phone that is signed in: the row is its (hashed) token. Deleting it signs the phone out."""

    id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, blank=True)
    push_token = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.name or str(self.id)
