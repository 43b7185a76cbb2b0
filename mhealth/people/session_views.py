"""Signing in and out, and thin views over allauth's password reset and e-mail verification."""

import structlog
from allauth.account.adapter import get_adapter
from allauth.account.forms import ResetPasswordForm, UserTokenForm
from allauth.account.internal.flows import email_verification, password_reset
from allauth.account.models import get_emailconfirmation_model
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from mhealth.people import serializers, services
from mhealth.people.models import Device, User
from mhealth.platform.access import roles_of
from mhealth.platform.problems import Problem
from mhealth.platform.throttles import SignIn

log = structlog.get_logger(__name__)


class LinkInvalid(Problem):
    status_code = 422
    default_code = "link-invalid"
    title = "Link is not valid"
    default_detail = "This link is not valid or has been used. Please ask for a new one."


def opened(user: User, device: Device, token: str) -> Response:
    participant = getattr(user, "participant", None)
    body = {
        "token": token,
        "expires_at": device.expiry,
        "device_id": device.id,
        "participant_id": participant and participant.pk,
        "roles": sorted(roles_of(user)),
    }
    return Response(serializers.SessionSerializer(body).data, status=status.HTTP_201_CREATED)


def send_verification(request, user: User) -> None:
    """A mail server that is away is no reason to refuse: the person can ask again."""
    if user.has_mail:
        try:
            email_verification.send_verification_email_for_user(request._request, user)
        except OSError as away:
            log.warning("mail not sent", fault=type(away).__name__)


class SessionView(APIView):
    """Enrol or sign in: returns this device's token. DELETE signs this device out."""

    throttle_classes = [SignIn]

    def get_authenticators(self) -> list:
        # an ended session must not keep anybody from signing in
        return [] if self.request and self.request.method == "POST" else super().get_authenticators()

    def get_permissions(self) -> list:
        return [AllowAny()] if self.request.method == "POST" else [IsAuthenticated()]

    @extend_schema(
        request=PolymorphicProxySerializer(
            component_name="OpenSession",
            serializers=[serializers.EnrolSerializer, serializers.SignInSerializer],
            resource_type_field_name=None,
        ),
        responses={201: serializers.SessionSerializer},
        auth=[],
    )
    def post(self, request) -> Response:
        enrols = isinstance(request.data, dict) and "enrolment_code" in request.data
        asked = (serializers.EnrolSerializer if enrols else serializers.SignInSerializer)(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        device = {"device_id": data.pop("device_id", None), "name": data.pop("device_name", "")}
        if not enrols:
            return opened(*services.sign_in(request._request, **data, **device))
        participant, row, token = services.enrol(code=data.pop("enrolment_code"), **data, **device)
        send_verification(request, participant.user)
        return opened(participant.user, row, token)

    @extend_schema(responses={204: None})
    def delete(self, request) -> Response:
        request.auth.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class PasswordResetView(APIView):
    """POST asks for a mail with a link; PUT sets the new password with the key of that link."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [SignIn]

    @extend_schema(
        request=serializers.PasswordResetSerializer,
        responses={202: None},
        description="Always 202, whether the address is known or not.",
    )
    def post(self, request) -> Response:
        asked = serializers.PasswordResetSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        form = ResetPasswordForm(asked.validated_data)
        if form.is_valid():
            form.save(request._request)
        return Response(status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        request=serializers.NewPasswordSerializer,
        responses={204: None},
        description="All devices of the account are signed out.",
    )
    def put(self, request) -> Response:
        asked = serializers.NewPasswordSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        uid, _, token = asked.validated_data["key"].partition("-")
        form = UserTokenForm({"uidb36": uid, "key": token})
        if not form.is_valid():
            raise LinkInvalid()
        serializers.check_password(asked.validated_data["password"], form.reset_user)
        password_reset.reset_password(form.reset_user, asked.validated_data["password"])
        password_reset.finalize_password_reset(request._request, form.reset_user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class VerifyEmailView(APIView):
    """POST sends the verification mail to my address; PUT verifies with the key of its link."""

    throttle_classes = [SignIn]

    def get_permissions(self) -> list:
        return [IsAuthenticated()] if self.request.method == "POST" else [AllowAny()]

    @extend_schema(request=None, responses={202: None})
    def post(self, request) -> Response:
        send_verification(request, request.user)
        return Response(status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=serializers.VerifyEmailSerializer, responses={204: None}, auth=[])
    def put(self, request) -> Response:
        asked = serializers.VerifyEmailSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        confirmation = get_emailconfirmation_model().from_key(asked.validated_data["key"])
        if confirmation is None or not get_adapter().confirm_email(request._request, confirmation.email_address):
            raise LinkInvalid()
        return Response(status=status.HTTP_204_NO_CONTENT)
