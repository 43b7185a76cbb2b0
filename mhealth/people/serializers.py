"""What the phone sends and sees of accounts, consent and rights. Each profile field says what it is for."""

from zoneinfo import available_timezones

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from rest_framework import serializers

from mhealth.people import services
from mhealth.people.models import Consent, Device, Participant, Scope, Study, User

PURPOSES = {
    "language": "Language of activities, questionnaires and messages. One of the study's languages.",
    "zone": "IANA time zone: questionnaires and reminders come at your local time.",
    "country": "ISO 3166 code: chooses the crisis resources that are shown.",
    "site": "Where you take part: participants are allocated in balance per site.",
    "birth_year": "Year of birth: eligibility, allocation in balance per age band, and fairness checks by age band.",
    "sex": "Allocation in balance, and fairness checks of the estimates. Not shown to other participants.",
    "gender": "In your own words, optional: only described in group counts of the study.",
}


def profile_errors(study: Study, profile: dict) -> dict[str, str]:
    """What of this profile does not fit the study."""
    known = {"language": study.languages, "country": study.countries, "site": study.sites}
    wrong = {
        field: f"Choose one of: {', '.join(allowed)}."
        for field, allowed in known.items()
        if allowed and profile.get(field) and profile[field] not in allowed
    }
    if profile.get("zone") and profile["zone"] not in available_timezones():
        wrong["zone"] = "This is not an IANA time zone."
    if profile.get("birth_year") and profile["birth_year"] > timezone.now().year:
        wrong["birth_year"] = "This year has not come yet."
    return wrong


class ProfileSerializer(serializers.ModelSerializer):
    class Meta:
        model = Participant
        fields = list(PURPOSES)
        extra_kwargs = {name: {"help_text": text} for name, text in PURPOSES.items()} | {
            "site": {"help_text": PURPOSES["site"], "required": False},
            "zone": {"help_text": PURPOSES["zone"], "required": True},
            "sex": {"help_text": PURPOSES["sex"], "required": True, "allow_blank": False},
            "birth_year": {"help_text": PURPOSES["birth_year"], "required": True, "allow_null": False},
        }


class EnrolSerializer(serializers.Serializer):
    """Join a study with a one-time code. Mail address and password are optional: they let you sign in elsewhere."""

    enrolment_code = serializers.CharField(max_length=40, help_text="From the study team, as text of the QR code.")
    profile = ProfileSerializer()
    email = serializers.EmailField(required=False, help_text="To sign in on another phone, and for study mail.")
    password = serializers.CharField(required=False, write_only=True, max_length=200, trim_whitespace=False)
    device_id = serializers.UUIDField(required=False, help_text="Made by the phone; repeat it when you try again.")
    device_name = serializers.CharField(required=False, max_length=100)

    def validate(self, data: dict) -> dict:
        if ("email" in data) != ("password" in data):
            missing = "password" if "email" in data else "email"
            raise serializers.ValidationError({missing: "Mail address and password go together."})
        study = services.study_of_code(data["enrolment_code"])
        if study and (wrong := profile_errors(study, data["profile"])):
            raise serializers.ValidationError({"profile": wrong})
        if "email" in data:
            self._check_account(data)
        return data

    def _check_account(self, data: dict) -> None:
        if User.objects.filter(email__iexact=data["email"]).exists():
            raise serializers.ValidationError({"email": "This address cannot be used."})
        check_password(data["password"], User(email=data["email"]))


class SignInSerializer(serializers.Serializer):
    """Sign in with a mail address and a password; staff also need the code of their authenticator app."""

    email = serializers.EmailField()
    password = serializers.CharField(write_only=True, max_length=200, trim_whitespace=False)
    second_factor = serializers.CharField(required=False, max_length=12, help_text="Staff: code of the app.")
    device_id = serializers.UUIDField(required=False, help_text="Made by the phone.")
    device_name = serializers.CharField(required=False, max_length=100)


def check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except DjangoValidationError as weak:
        raise serializers.ValidationError({"password": weak.messages}) from weak


class SessionSerializer(serializers.Serializer):
    """A signed-in device. The token is shown this once."""

    token = serializers.CharField()
    expires_at = serializers.DateTimeField()
    device_id = serializers.UUIDField()
    participant_id = serializers.UUIDField(allow_null=True)
    roles = serializers.ListField(child=serializers.CharField())


class PasswordResetSerializer(serializers.Serializer):
    email = serializers.EmailField()


class NewPasswordSerializer(serializers.Serializer):
    key = serializers.CharField(max_length=200, help_text="The last part of the link in the mail.")
    password = serializers.CharField(write_only=True, max_length=200, trim_whitespace=False)


class VerifyEmailSerializer(serializers.Serializer):
    key = serializers.CharField(max_length=200, help_text="The last part of the link in the mail.")


class StudySummarySerializer(serializers.ModelSerializer):
    class Meta:
        model = Study
        fields = ["slug", "name", "languages", "contact_email"]


class MeSerializer(ProfileSerializer):
    email = serializers.SerializerMethodField()
    study = StudySummarySerializer(read_only=True)

    class Meta(ProfileSerializer.Meta):
        fields = ["id", "email", "study", "status", "joined_at", "stopped_at", *PURPOSES]
        read_only_fields = ["id", "status", "joined_at", "stopped_at"]

    def get_email(self, participant: Participant) -> str | None:
        return participant.user.email if participant.user.has_mail else None

    def validate(self, data: dict) -> dict:
        if wrong := profile_errors(self.instance.study, data):
            raise serializers.ValidationError(wrong)
        return data


class ConsentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Consent
        fields = ["id", "scope", "given", "given_at", "document_version", "language", "text_digest", "how"]
        read_only_fields = ["id", "given_at", "how"]
        extra_kwargs = {
            name: {"required": False, "help_text": "Of the consent document; needed to give, not to withdraw."}
            for name in ("document_version", "language", "text_digest")
        }

    def validate(self, data: dict) -> dict:
        if data["given"]:
            missing = [name for name in ("document_version", "language", "text_digest") if not data.get(name)]
            if missing:
                raise serializers.ValidationError(dict.fromkeys(missing, "Needed to give a consent."))
        return data


class ConsentDocumentSerializer(serializers.Serializer):
    version = serializers.CharField()
    language = serializers.CharField()
    text = serializers.CharField()
    text_digest = serializers.CharField(source="digest")


class ConsentsSerializer(serializers.Serializer):
    """The text to agree to, the present state of each scope, and everything said so far."""

    document = ConsentDocumentSerializer(allow_null=True)
    scopes = serializers.DictField(child=serializers.BooleanField(), help_text=f"Keys: {', '.join(Scope.values)}.")
    history = ConsentSerializer(many=True)


class DeviceSerializer(serializers.ModelSerializer):
    created_at = serializers.DateTimeField(source="created", read_only=True)
    expires_at = serializers.DateTimeField(source="expiry", read_only=True)
    this_device = serializers.SerializerMethodField()

    class Meta:
        model = Device
        fields = ["id", "name", "push_token", "created_at", "expires_at", "this_device"]
        read_only_fields = ["id"]
        extra_kwargs = {"push_token": {"write_only": True, "help_text": "Where to push; empty: nowhere."}}

    def get_this_device(self, device: Device) -> bool:
        return device.pk == getattr(self.context["request"].auth, "pk", None)


class ParticipationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Participant
        fields = ["status", "joined_at", "stopped_at"]
        read_only_fields = fields


class StopSerializer(serializers.Serializer):
    action = serializers.ChoiceField(choices=["stop", "stop_and_delete_media"])


class ErasureSerializer(serializers.Serializer):
    """Erasure of everything about me: `none`, or `pending` and cancellable until `due_at`."""

    state = serializers.ChoiceField(choices=["none", "pending"])
    asked_at = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True)


class DataExportSerializer(serializers.Serializer):
    status = serializers.CharField()
    asked_at = serializers.DateTimeField(source="queued_at")
