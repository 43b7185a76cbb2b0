"""The admin of questionnaires: licence notes for operators, occasions without answers for trial managers."""

from datetime import UTC, datetime

import pytest
from django.urls import reverse

from mhealth.outcomes import services
from mhealth.outcomes.models import InstrumentVersion
from tests.outcomes.instruments import answers
from tests.outcomes.test_questionnaires_api import plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, settings):
    settings.STAFF_SECOND_FACTOR = False
    settings.SECURE_SSL_REDIRECT = False

    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


def test_an_operator_sees_the_licence_note_until_they_acknowledge_it(loaded, ola, desk):
    version = InstrumentVersion.objects.get(instrument__slug="dass21")
    changelist, browser = reverse("admin:outcomes_instrumentversion_changelist"), desk(ola)
    note = "to be acknowledged in the admin: Free of charge, unmodified"
    assert note in browser.get(changelist).content.decode()
    browser.post(
        reverse("admin:outcomes_instrumentversion_acknowledge_licence", args=[version.pk]), {"_form_submitted": "on"}
    )
    version.refresh_from_db()
    assert version.licence_acknowledged_by == ola
    assert note not in browser.get(changelist).content.decode()


def test_the_page_of_an_instrument_says_which_words_are_not_sure(loaded, ola, desk):
    version = InstrumentVersion.objects.get(instrument__slug="dass21")
    sure, pages = "This translation is not validated", [reverse("admin:outcomes_instrumentversion_changelist")]
    pages.append(reverse("admin:outcomes_instrumentversion_change", args=[version.pk]))
    for text, unsure in [("en", "item 2"), ("de", "items 2, 9")]:
        for item in version.texts[text]["items"]:
            item["checked"] = str(item["number"]) not in unsure.split("item")[1].strip("s ").split(", ")
    version.texts["de"]["instructions_checked"] = False
    version.save(update_fields=["texts"])
    table, shown = (desk(ola).get(url).content.decode() for url in pages)
    assert "de: items 2, 9; en: item 2" in table
    assert shown.count(sure) == 1
    assert "Not compared with the published form: the instructions and items 2, 9." in shown
    assert "Not compared with the published form: item 2." in shown


def test_a_trial_manager_sees_who_answered_of_their_study_and_a_clinician_does_not(ada, loaded, tom, carol, desk):
    services.answer(occasion=plan(ada, 1, "marker week"), answers=answers(), answered_at=datetime.now(UTC))
    url = reverse("admin:outcomes_occasion_changelist")
    assert "marker week" in desk(tom).get(url).content.decode()
    assert desk(carol).get(url).status_code == 403


def test_a_trial_manager_of_another_study_sees_nothing(ada, loaded, desk):
    from tests import factories

    plan(ada, 1, "marker week")
    stranger = factories.member("theo", "trial_manager", factories.study("other"))
    assert "marker week" not in desk(stranger).get(reverse("admin:outcomes_occasion_changelist")).content.decode()
