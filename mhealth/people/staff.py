"""The staff site: nobody enters it without a second factor; a few steps need the password anew."""

import time
from collections.abc import Callable
from functools import wraps

from allauth.account import app_settings as account
from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from unfold.sites import UnfoldAdminSite


def passed_second_factor(request: HttpRequest) -> bool:
    """Whether this very session gave a code of an authenticator app (or a recovery code)."""
    return any(record.get("method") == "mfa" for record in get_authentication_records(request, request.user))


def gave_password_lately(request: HttpRequest) -> bool:
    """Whether this session gave its password, at log-in or since, within ACCOUNT_REAUTHENTICATION_TIMEOUT seconds."""
    records = get_authentication_records(request, request.user)
    given = [record["at"] for record in records if record.get("method") == "password"]
    return bool(given) and time.time() - max(given) < account.REAUTHENTICATION_TIMEOUT


def password_page(request: HttpRequest, then: str) -> HttpResponse:
    """Off to give the password again, and back to the address `then`; dialogs are sent by htmx."""
    url = f"{reverse('account_reauthenticate')}?{urlencode({REDIRECT_FIELD_NAME: then})}"
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def with_password(step: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A step on an admin's detail page, taken only by who gave the password lately; others come back to the page."""

    @wraps(step)
    def taken(admin, request: HttpRequest, *args: object, object_id: str, **kwargs: object) -> HttpResponse:
        if gave_password_lately(request):
            return step(admin, request, *args, object_id=object_id, **kwargs)
        about = admin.model._meta
        return password_page(request, reverse(f"admin:{about.app_label}_{about.model_name}_change", args=[object_id]))

    return taken


class StaffSite(UnfoldAdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        allowed = super().has_permission(request)
        return allowed and (not settings.STAFF_SECOND_FACTOR or passed_second_factor(request))

    def login(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        """Send to the step that is missing: log in, set up a second factor, or give its code."""
        user = request.user
        if user.is_authenticated and not user.is_staff:
            raise PermissionDenied
        target = request.GET.get(REDIRECT_FIELD_NAME, reverse("admin:index"))
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        return HttpResponseRedirect(f"{reverse(_step(user))}?{urlencode({REDIRECT_FIELD_NAME: target})}")


def _step(user) -> str:
    if not user.is_authenticated:
        return "account_login"
    has_totp = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()
    return "mfa_reauthenticate" if has_totp else "mfa_activate_totp"


def environment(_request: HttpRequest) -> list[str] | None:
    """The label at the top of every admin page: says so while the second factor is off."""
    return None if settings.STAFF_SECOND_FACTOR else ["Demo: second factor is off", "danger"]
