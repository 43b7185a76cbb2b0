"""The staff site: nobody enters without a second factor, and what staff do leaves a trace."""

import re
import time

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret, hotp_value
from django.test import Client

from mhealth.people.models import EnrolmentCode, User
from mhealth.platform.models import AuditEvent
from tests.people.conftest import PROFILE

pytestmark = pytest.mark.django_db
ADMIN = "/admin/"
PASSWORD = "correct horse battery"


def totp_code(secret: str) -> str:
    """What an authenticator app shows now (RFC 6238, steps of 30 s)."""
    return f"{hotp_value(secret, int(time.time()) // 30):06d}"


def log_in(user: User) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


@pytest.fixture
def inside(settings):
    """`inside(ola)` is a browser that went all the way: password and code."""

    def enter(user: User) -> Client:
        secret = generate_totp_secret()
        TOTP.activate(user, secret)
        client = log_in(user)
        passed = client.post("/accounts/2fa/authenticate/", {"code": totp_code(secret)})
        assert passed.status_code == 302, passed.content
        return client

    return enter


def test_a_password_alone_does_not_open_the_staff_site(ola):
    client = log_in(ola)
    answer = client.get(ADMIN, follow=True)
    assert "/accounts/2fa/totp/activate/?next=%2Fadmin%2F" in [url for url, _ in answer.redirect_chain]
    assert b"Enrolment codes" not in answer.content


def test_a_password_and_a_code_open_it(ola, inside):
    answer = inside(ola).get(ADMIN)
    assert answer.status_code == 200
    assert b"Enrolment codes" in answer.content


def test_who_has_a_second_factor_cannot_go_around_it(ola):
    TOTP.activate(ola, generate_totp_secret())
    client = log_in(ola)
    answer = client.get(ADMIN, follow=True)
    assert answer.redirect_chain[-1][0] == "/accounts/2fa/authenticate/"
    assert b"Enrolment codes" not in answer.content


def test_setting_up_a_second_factor_leads_to_giving_its_code_and_then_inside(ola):
    client = log_in(ola)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    assert client.post("/accounts/2fa/totp/activate/", {"code": totp_code(secret)}).status_code == 302
    asked = client.get(ADMIN, follow=True)
    assert asked.redirect_chain[-1][0].startswith("/accounts/2fa/reauthenticate/")
    given = client.post("/accounts/2fa/reauthenticate/?next=/admin/", {"code": totp_code(secret)}, follow=True)
    assert given.redirect_chain[-1][0] == ADMIN
    assert b"Enrolment codes" in given.content


def test_a_stranger_is_sent_to_the_log_in_page(client):
    answer = client.get(f"{ADMIN}people/study/", follow=True)
    assert answer.redirect_chain[-1][0] == "/accounts/login/?next=%2Fadmin%2Fpeople%2Fstudy%2F"
    assert b"pages.css" in answer.content


def test_a_participant_has_no_business_there(ada):
    assert log_in(ada.user).get(ADMIN, follow=True).status_code == 403


def test_without_the_second_factor_every_page_says_so(ola, settings):
    settings.STAFF_SECOND_FACTOR = False
    assert b"second factor is off" in log_in(ola).get(ADMIN).content


def test_nobody_signs_up_on_the_web(client):
    client.post("/accounts/signup/", {"email": "mal@example.org", "password1": PASSWORD, "password2": PASSWORD})
    assert not User.objects.filter(email="mal@example.org").exists()


def test_a_new_enrolment_code_is_shown_once_and_works(tom, inside, study, team, phone):
    client = inside(tom)
    form = {"study": study.pk, "site": "north", "care_team": team.pk}
    shown = client.post(f"{ADMIN}people/enrolmentcode/add/", form, follow=True).content.decode()
    code = re.search(r"not shown again: ([A-Z0-9-]{19})", shown)[1]
    assert code not in client.get(f"{ADMIN}people/enrolmentcode/").content.decode()
    assert phone().post("/api/v1/session/", {"enrolment_code": code, "profile": PROFILE}).status_code == 201


def test_a_code_for_an_unknown_site_is_refused(tom, inside, study):
    client = inside(tom)
    refused = client.post(f"{ADMIN}people/enrolmentcode/add/", {"study": study.pk, "site": "moon"})
    assert b"Choose one of: north, south." in refused.content
    assert not EnrolmentCode.objects.exists()


def test_clinicians_see_their_own_people_and_the_look_is_recorded(ada, carol, dan, inside):
    own, strange = inside(carol), inside(dan)
    mark = str(ada.pk)[:8]
    assert mark in own.get(f"{ADMIN}people/participant/").content.decode()
    assert mark not in strange.get(f"{ADMIN}people/participant/").content.decode()
    assert own.get(f"{ADMIN}people/participant/{ada.pk}/change/").status_code == 200
    assert strange.get(f"{ADMIN}people/participant/{ada.pk}/change/").status_code == 302
    reads = AuditEvent.objects.filter(actor=str(carol.pk)).values_list("action", "subject", "details")
    assert ("admin.listed", "people.Participant", {"count": 1}) in reads
    assert ("admin.read", f"people.Participant/{ada.pk}", {}) in reads
    assert not AuditEvent.objects.filter(actor=str(dan.pk), action="admin.read").exists()


@pytest.mark.parametrize("page", ["people/participant/", "people/consent/", "platform/auditevent/"])
def test_a_trial_manager_has_no_page_on_single_people(tom, inside, page):
    client = inside(tom)
    assert client.get(f"{ADMIN}{page}").status_code == 403
    assert client.get(f"{ADMIN}people/study/").status_code == 200


def test_an_operator_changes_a_study_and_reads_who_did_it(ola, inside, study):
    client = inside(ola)
    page = client.get(f"{ADMIN}people/study/{study.pk}/change/")
    form = {name: value for name, value in page.context["adminform"].form.initial.items() if value is not None}
    management = {"members-TOTAL_FORMS": 0, "members-INITIAL_FORMS": 0}
    lists = dict.fromkeys(("languages", "countries", "sites"), '["north", "south"]') | {"settings": "{}"}
    saved = client.post(f"{ADMIN}people/study/{study.pk}/change/", form | management | lists | {"name": "Calmer"})
    assert saved.status_code == 302, saved.context["errors"]
    study.refresh_from_db()
    assert study.name == "Calmer"
    event = AuditEvent.objects.get(action="admin.changed")
    assert (event.actor, event.subject) == (str(ola.pk), f"people.Study/{study.pk}")
    assert "Calmer" not in str(event.details)
    assert b"admin.changed" in client.get(f"{ADMIN}platform/auditevent/").content


def test_participant_accounts_are_not_among_the_users_that_an_operator_edits(ada, carol, ola, inside):
    page = inside(ola).get(f"{ADMIN}people/user/").content
    assert b"carol@example.org" in page
    assert b"ada@example.org" not in page


@pytest.mark.parametrize("page", ["knox/authtoken/", "account/emailaddress/", "mfa/authenticator/", "auth/group/"])
def test_tables_of_libraries_are_not_edited_by_hand(page, inside):
    root = User.objects.create_superuser("root@example.org", PASSWORD)
    assert inside(root).get(f"{ADMIN}{page}").status_code == 404


def test_a_superuser_is_no_way_around_the_narrowing(ada, inside):
    root = User.objects.create_superuser("root@example.org", PASSWORD)
    page = inside(root).get(f"{ADMIN}people/participant/")
    assert page.status_code == 200
    assert str(ada.pk)[:8] not in page.content.decode()
