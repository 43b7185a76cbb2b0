"""Enrolling, signing in and out: the phone's first and last requests."""

import time
import uuid
from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret, hotp_value
from django.utils import timezone

from mhealth.people.models import Device, EnrolmentCode, Participant, User
from tests.factories import phone as sign_in_as
from tests.people.conftest import PROFILE

pytestmark = pytest.mark.django_db
SESSION = "/api/v1/session/"


def bearer(client, token: str):
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def kind(response) -> str:
    return response.json()["type"].removeprefix("urn:mhealth:problem:")


def test_an_enrolment_code_makes_a_participant_of_its_study_site_and_team(phone, code, study, team):
    answer = phone().post(SESSION, {"enrolment_code": code, "profile": PROFILE})
    assert answer.status_code == 201
    person = Participant.objects.get(pk=answer.json()["participant_id"])
    assert (person.study, person.site, person.care_team) == (study, "north", team)
    assert (person.birth_year, person.sex, person.zone, person.language) == (1988, "male", "Europe/Berlin", "de")
    mine = bearer(phone(), answer.json()["token"]).get("/api/v1/me/").json()
    assert mine["id"] == str(person.pk)
    assert mine["email"] is None


def test_a_code_works_once_and_a_wrong_one_never(phone, code):
    body = {"enrolment_code": code, "profile": PROFILE}
    assert phone().post(SESSION, body).status_code == 201
    again = phone().post(SESSION, body)
    assert (again.status_code, kind(again)) == (409, "enrolment-code-used")
    wrong = phone().post(SESSION, body | {"enrolment_code": "ABCD-EFGH-JKMN-PQRS"})
    assert (wrong.status_code, kind(wrong)) == (422, "enrolment-code-unknown")
    assert Participant.objects.count() == 1


def test_a_code_typed_in_small_letters_without_dashes_is_the_same_code(phone, code):
    typed = code.lower().replace("-", " ")
    assert phone().post(SESSION, {"enrolment_code": typed, "profile": PROFILE}).status_code == 201


def test_a_phone_that_lost_the_answer_enrols_once_and_gets_a_fresh_token(phone, code):
    body = {"enrolment_code": code, "profile": PROFILE, "device_id": str(uuid.uuid4())}
    first, second = phone().post(SESSION, body), phone().post(SESSION, body)
    assert second.status_code == 201
    assert first.json()["participant_id"] == second.json()["participant_id"]
    assert Device.objects.count() == Participant.objects.count() == 1
    assert bearer(phone(), second.json()["token"]).get("/api/v1/me/").status_code == 200
    assert bearer(phone(), first.json()["token"]).get("/api/v1/me/").status_code == 401


def test_an_outdated_code_is_refused(phone, code):
    EnrolmentCode.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    refused = phone().post(SESSION, {"enrolment_code": code, "profile": PROFILE})
    assert (refused.status_code, kind(refused)) == (409, "enrolment-code-used")


@pytest.mark.parametrize(
    ("field", "value"),
    [("zone", "Mars/Base"), ("site", "moon"), ("country", "XX"), ("language", "xx"), ("birth_year", 2100), ("sex", "")],
)
def test_a_wrong_profile_names_its_field_and_leaves_the_code_unused(phone, code, field, value):
    refused = phone().post(SESSION, {"enrolment_code": code, "profile": PROFILE | {field: value}})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"/profile/{field}"]
    assert phone().post(SESSION, {"enrolment_code": code, "profile": PROFILE}).status_code == 201


def test_who_enrolled_with_a_mail_address_signs_in_on_another_phone(phone, code, mailoutbox):
    account = {"email": "gil@example.org", "password": "a quiet green morning"}
    enrolled = phone().post(SESSION, {"enrolment_code": code, "profile": PROFILE, **account})
    assert enrolled.status_code == 201
    signed_in = phone().post(SESSION, account)
    assert signed_in.status_code == 201
    assert signed_in.json()["participant_id"] == enrolled.json()["participant_id"]
    assert signed_in.json()["roles"] == ["participant"]


def test_a_weak_password_and_a_taken_address_are_refused_with_pointers(phone, code, ada):
    weak = {"enrolment_code": code, "profile": PROFILE, "email": "gil@example.org", "password": "password"}
    taken = weak | {"email": "ADA@example.org", "password": "a quiet green morning"}
    for body, pointer in ((weak, "/password"), (taken, "/email")):
        refused = phone().post(SESSION, body)
        assert refused.status_code == 422
        assert {error["pointer"] for error in refused.json()["errors"]} == {pointer}


def test_wrong_password_and_unknown_address_get_the_same_answer(phone, ada):
    wrong = phone().post(SESSION, {"email": "ada@example.org", "password": "nope"}).json()
    unknown = phone().post(SESSION, {"email": "nobody@example.org", "password": "nope"}).json()
    wrong.pop("request_id"), unknown.pop("request_id")
    assert wrong == unknown
    assert wrong["status"] == 401


def test_an_account_is_locked_after_five_wrong_passwords(phone, ada):
    answers = [phone().post(SESSION, {"email": "ada@example.org", "password": "nope"}) for _ in range(6)]
    assert [a.status_code for a in answers] == [401] * 5 + [429]
    assert answers[-1].headers["Retry-After"]
    right = phone().post(SESSION, {"email": "ada@example.org", "password": "correct horse battery"})
    assert kind(right) == "too-many-attempts"


def test_signing_out_ends_this_session_only(phone, ada):
    here, there = sign_in_as(ada), sign_in_as(ada)
    assert here.delete(SESSION).status_code == 204
    assert here.get("/api/v1/me/").status_code == 401
    assert there.get("/api/v1/me/").status_code == 200


def test_an_idle_session_expires_and_says_so_while_a_used_one_is_renewed(phone, ada):
    idle, used = sign_in_as(ada), sign_in_as(ada)
    soon = timezone.now() + timedelta(days=2)
    Device.objects.update(expiry=soon)
    assert used.get("/api/v1/me/").status_code == 200
    Device.objects.filter(expiry__lte=soon).update(expiry=timezone.now())
    ended = idle.get("/api/v1/me/")
    assert (ended.status_code, kind(ended)) == (401, "session-expired")
    assert ended.headers["WWW-Authenticate"] == "Bearer"
    assert Device.objects.filter(expiry__gt=timezone.now() + timedelta(days=29)).count() == 1


def test_no_use_extends_a_session_beyond_half_a_year(phone, ada):
    client = sign_in_as(ada)
    Device.objects.update(created=timezone.now() - timedelta(days=179), expiry=timezone.now() + timedelta(hours=2))
    assert client.get("/api/v1/me/").status_code == 200
    assert Device.objects.get().expiry < timezone.now() + timedelta(days=1, minutes=1)


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer \xff\xfe", "Bearer 00"])
def test_a_malformed_token_is_a_problem_not_a_fault(phone, ada, header):
    client = phone()
    client.credentials(HTTP_AUTHORIZATION=header)
    assert client.get("/api/v1/me/").status_code == 401


def test_staff_need_the_second_factor_for_a_token_too(phone, carol):
    account = {"email": "carol@example.org", "password": "correct horse battery"}
    missing = phone().post(SESSION, account)
    assert (missing.status_code, kind(missing)) == (403, "second-factor-missing")
    secret = generate_totp_secret()
    TOTP.activate(carol, secret)
    without = phone().post(SESSION, account)
    assert (without.status_code, kind(without)) == (401, "second-factor-required")
    now = f"{hotp_value(secret, int(time.time()) // 30):06d}"
    assert phone().post(SESSION, account | {"second_factor": now}).status_code == 201
    assert Device.objects.get().expiry < timezone.now() + timedelta(hours=9)


def test_a_reset_link_sets_a_new_password_once_and_signs_all_devices_out(phone, ada, mailoutbox):
    client = sign_in_as(ada)
    url = "/api/v1/session/password-reset/"
    assert phone().post(url, {"email": "ada@example.org"}).status_code == 202
    link = next(word for word in mailoutbox[0].body.split() if "/password/reset/key/" in word)
    body = {"key": link.rstrip("/").rsplit("/", 1)[1], "password": "another long passphrase"}
    assert phone().put(url, body | {"password": "short"}).status_code == 422
    assert phone().put(url, body).status_code == 204
    assert client.get("/api/v1/me/").status_code == 401
    again = phone().put(url, body)
    assert (again.status_code, kind(again)) == (422, "link-invalid")
    assert phone().post(SESSION, {"email": "ada@example.org", "password": body["password"]}).status_code == 201


def test_a_reset_for_an_unknown_address_answers_alike(phone, ada):
    url = "/api/v1/session/password-reset/"
    known, unknown = phone().post(url, {"email": "ada@example.org"}), phone().post(url, {"email": "x@example.org"})
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)


def test_the_link_of_the_mail_verifies_the_address(phone, ada, mailoutbox):
    url = "/api/v1/session/verify-email/"
    assert phone().post(url).status_code == 401
    assert sign_in_as(ada).post(url).status_code == 202
    link = next(word for word in mailoutbox[0].body.split() if "/confirm-email/" in word)
    assert phone().put(url, {"key": "made-up"}).status_code == 422
    assert phone().put(url, {"key": link.rstrip("/").rsplit("/", 1)[1]}).status_code == 204
    assert User.objects.get(email="ada@example.org").emailaddress_set.get().verified
