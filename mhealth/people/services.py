"""Enrolment, signing in, consent and participation."""

from __future__ import annotations

import uuid
from datetime import timedelta

from allauth.account.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone

from mhealth.people import following
from mhealth.people.authentication import AccountClosed
from mhealth.people.models import (
    NO_MAIL_DOMAIN,
    CareTeam,
    Consent,
    ConsentDocument,
    Device,
    EnrolmentCode,
    Participant,
    Scope,
    Study,
    User,
)
from mhealth.platform import audit
from mhealth.platform.models import DataKey
from mhealth.platform.problems import Problem
from mhealth.platform.row_security import act_for, acting_for_everybody


class EnrolmentCodeUnknown(Problem):
    status_code = 422
    default_code = "enrolment-code-unknown"
    title = "Unknown enrolment code"
    default_detail = "This enrolment code is not known. Please check it, or ask the study team."


class EnrolmentCodeUsed(Problem):
    default_code = "enrolment-code-used"
    title = "Enrolment code was used"
    default_detail = "This enrolment code has been used or is out of date. Please ask the study team for a new one."


class SignInFailed(Problem):
    status_code = 401
    default_code = "sign-in-failed"
    title = "Sign-in failed"
    default_detail = "The e-mail address or the password is not right."


class TooManyAttempts(Problem):
    status_code = 429
    default_code = "too-many-attempts"
    title = "Too many attempts"
    default_detail = "There were too many failed attempts to sign in. Please wait some minutes."
    headers = {"Retry-After": "300"}


class SecondFactorRequired(Problem):
    status_code = 401
    default_code = "second-factor-required"
    title = "Second factor required"
    default_detail = "Staff accounts also need the code of their authenticator app."


class SecondFactorMissing(Problem):
    status_code = 403
    default_code = "second-factor-missing"
    title = "Second factor is not set up"
    default_detail = "Staff accounts must set up an authenticator app on the staff pages first."


class DeviceIdReused(Problem):
    default_code = "id-reused"
    title = "Id was used before"
    default_detail = "This id belongs to something else. Please make a new one."


class ConsentDocumentUnknown(Problem):
    status_code = 422
    default_code = "consent-document-unknown"
    title = "Unknown consent document"
    default_detail = "The study has no consent document with this version, language and digest."


class NothingToWithdraw(Problem):
    default_code = "nothing-to-withdraw"
    title = "Nothing to withdraw"
    default_detail = "There is no consent of yours for this scope."


def make_enrolment_codes(
    *, study: Study, site: str, care_team: CareTeam | None, count: int, actor: object = "system"
) -> list[str]:
    """Codes for new participants, in clear; only their hashes are stored."""
    codes = [EnrolmentCode.objects.make(study=study, site=site, care_team=care_team) for _ in range(count)]
    audit.record(actor=actor, action="enrolment_codes.made", subject=f"people.Study/{study.pk}", count=count)
    return codes


NOBODY_YET = "nobody is signed in yet: the code alone says whose row it is"


def study_of_code(code: str) -> Study | None:
    with acting_for_everybody(because=NOBODY_YET):
        return Study.objects.filter(enrolmentcode__digest=EnrolmentCode.digest_of(code)).first()


@transaction.atomic
def enrol(
    *, code: str, profile: dict, email: str = "", password: str = "", device_id: uuid.UUID | None = None, name: str = ""
) -> tuple[Participant, Device, str]:
    """Make an account and a participant from a one-time code; return them with the phone's token.

    A phone that lost the answer repeats the request with the same device id within a day
    and gets a fresh token for the account that it made.
    """
    with acting_for_everybody(because=NOBODY_YET):
        participant = _participant_of_code(code, profile, email, password, device_id)
    act_for(participant.user)
    device, token = sign_device_in(participant.user, device_id, name)
    return participant, device, token


def _participant_of_code(
    code: str, profile: dict, email: str, password: str, device_id: uuid.UUID | None
) -> Participant:
    found = EnrolmentCode.objects.select_related("study", "care_team").filter(digest=EnrolmentCode.digest_of(code))
    known = found.first()
    if known is None:
        raise EnrolmentCodeUnknown()
    if known.used_at:
        return _enrolled_by_this_phone(known, device_id)
    return _make_participant(known, profile, email, password)


def _enrolled_by_this_phone(code: EnrolmentCode, device_id: uuid.UUID | None) -> Participant:
    participant = code.used_by
    lately = code.used_at > timezone.now() - timedelta(days=1)
    if not (participant and participant.user and lately and device_id):
        raise EnrolmentCodeUsed()
    if not participant.user.auth_token_set.filter(id=device_id).exists():
        raise EnrolmentCodeUsed()
    return participant


def _make_participant(code: EnrolmentCode, profile: dict, email: str, password: str) -> Participant:
    if code.expires_at <= timezone.now():
        raise EnrolmentCodeUsed()
    address = email or f"{uuid.uuid4().hex}@{NO_MAIL_DOMAIN}"
    user = User.objects.create_user(address, password or None)
    user.groups.add(Group.objects.get(name="participant"))
    participant = Participant.objects.create(
        user=user,
        study=code.study,
        care_team=code.care_team,
        data_key=DataKey.make(),
        **({"site": code.site, "language": code.study.language} | profile),
    )
    if not EnrolmentCode.objects.use(code, participant):
        raise EnrolmentCodeUsed()
    audit.record(actor=user, action="participant.enrolled", subject=f"people.Participant/{participant.pk}")
    return participant


def sign_in(
    request: HttpRequest,
    *,
    email: str,
    password: str,
    second_factor: str = "",
    device_id: uuid.UUID | None = None,
    name: str = "",
) -> tuple[User, Device, str]:
    """Check the password (and, for staff, the second factor) and return the user with a device token."""
    adapter = get_adapter(request)
    try:
        user = adapter.authenticate(request, email=email, password=password)
    except ValidationError as too_many:
        raise TooManyAttempts() from too_many
    if user is None:
        raise SignInFailed()
    if not user.is_active:
        raise AccountClosed()
    if user.is_staff and settings.STAFF_SECOND_FACTOR:
        _check_second_factor(user, second_factor)
    act_for(user)
    device, token = sign_device_in(user, device_id, name)
    audit.record(actor=user, action="session.opened", subject=f"people.User/{user.pk}")
    return user, device, token


def _check_second_factor(user: User, code: str) -> None:
    totp = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    if totp is None:
        raise SecondFactorMissing()
    if not code or not TOTP(totp).validate_code(code):
        raise SecondFactorRequired()


def sign_device_in(user: User, device_id: uuid.UUID | None, name: str) -> tuple[Device, str]:
    """A fresh token for this device; the one it had before ends."""
    device_id = device_id or uuid.uuid4()
    before = Device.objects.filter(id=device_id).first()
    if before and before.user_id != user.pk:
        raise DeviceIdReused()
    push_token = before.push_token if before else ""
    expiry = Device.STAFF if user.is_staff else Device.IDLE
    try:
        with transaction.atomic():
            if before:
                before.delete()
            return Device.objects.create(user=user, expiry=expiry, id=device_id, name=name, push_token=push_token)
    except IntegrityError as twin:  # the same id at the same moment
        raise DeviceIdReused() from twin


def change_profile(participant: Participant, **fields: object) -> None:
    for field, value in fields.items():
        setattr(participant, field, value)
    participant.save(update_fields=list(fields))
    audit.record(
        actor=participant.user,
        action="profile.changed",
        subject=f"people.Participant/{participant.pk}",
        fields=sorted(fields),
    )


def current_document(participant: Participant) -> ConsentDocument | None:
    """The newest consent text in the person's language, else in the study's."""
    documents = ConsentDocument.objects.filter(study=participant.study).order_by("-id")
    for language in (participant.language, participant.study.language):
        if document := documents.filter(language=language).first():
            return document
    return documents.first()


def give_consent(participant: Participant, *, scope: str, version: str, language: str, digest: str) -> Consent:
    document = ConsentDocument.objects.filter(study=participant.study, version=version, language=language).first()
    if document is None or document.digest != digest:
        raise ConsentDocumentUnknown()
    return _say(participant, scope=scope, given=True, version=version, language=language, digest=digest)


@transaction.atomic
def withdraw_consent(participant: Participant, *, scope: str) -> Consent:
    """Stop what rests on this consent at once; rooms clean up after the word is stored (people.following)."""
    last = participant.consents.filter(scope=scope, given=True).order_by("id").last()
    if last is None:
        raise NothingToWithdraw()
    consent = _say(
        participant,
        scope=scope,
        given=False,
        version=last.document_version,
        language=last.language,
        digest=last.text_digest,
    )
    following.ask(participant, scope)
    return consent


@transaction.atomic
def _say(participant: Participant, *, scope: str, given: bool, version: str, language: str, digest: str) -> Consent:
    Participant.objects.hold(participant.pk)  # an upload or an estimate comes before the word or after it
    consent = Consent.objects.create(
        participant=participant,
        scope=scope,
        given=given,
        document_version=version,
        language=language,
        text_digest=digest,
    )
    audit.record(
        actor=participant.user or "system",
        action="consent.given" if given else "consent.withdrawn",
        subject=f"people.Participant/{participant.pk}",
        scope=scope,
    )
    return consent


@transaction.atomic
def stop(participant: Participant, *, delete_media: bool) -> None:
    """End participation: nothing new comes in, rooms follow (people.following). Media are deleted only if asked for.

    Repeating it is harmless; media can still be deleted later.
    """
    now = timezone.now()
    held = Participant.objects.hold(participant.pk)  # an upload comes before the end or after it
    newly = held.status == Participant.Status.ACTIVE
    if newly:
        held.status, held.stopped_at = Participant.Status.STOPPED, now
        held.save(update_fields=["status", "stopped_at"])
        audit.record(
            actor=participant.user, action="participation.stopped", subject=f"people.Participant/{participant.pk}"
        )
    participant.status, participant.stopped_at = held.status, held.stopped_at
    if newly or delete_media:
        following.ask(participant, Scope.TRIAL, delete_media=delete_media)  # who stops leaves the trial too
