"""The crisis card: for everybody, at any time, in their language."""

import json

import pytest
from django.conf import settings as django_settings

from mhealth.people.models import Device
from mhealth.safety import services
from mhealth.safety.models import CrisisResource

pytestmark = pytest.mark.django_db
URL = "/api/v1/support/"


@pytest.fixture
def resources(db):
    def add(slug, country, language, **fields):
        CrisisResource.objects.create(
            slug=slug, country=country, language=language, name=f"{slug} {language}", review_by="2027-06-01", **fields
        )

    add("line", "DE", "de", phone="0800 1", order=1)
    add("emergency", "DE", "de", phone="112", emergency=True)
    add("emergency", "DE", "en", phone="112", emergency=True)
    add("line", "GB", "en", phone="116 123")
    add("directory", "", "en", url="https://example.org/")


def names(response) -> list[str]:
    return [resource["name"] for resource in response.json()["resources"]]


def test_the_card_needs_no_session(phone, resources):
    card = phone().get(URL, {"country": "de", "language": "de"})
    assert card.status_code == 200
    assert names(card) == ["emergency de", "line de", "directory en"], "the emergency number comes first"
    assert card["Content-Language"] == "de"
    assert card.json()["notice"].startswith("Niemand liest")


def test_a_session_that_has_ended_does_not_stand_in_the_way(ada, phone, resources):
    client = phone(ada)
    Device.objects.all().delete()
    assert client.get(URL, {"country": "GB"}).status_code == 200


def test_with_a_session_the_card_is_for_my_country_and_language(ada, phone, resources):
    ada.country, ada.language = "DE", "de"
    ada.save()
    assert names(phone(ada).get(URL)) == ["emergency de", "line de", "directory en"]
    assert names(phone(ada).get(URL, {"country": "GB"}))[0] == "line en", "while travelling: what the phone asks for"


def test_the_card_says_that_nobody_is_watching_live(phone, resources):
    assert "Nobody is watching" in phone().get(URL).json()["notice"]


def test_an_unknown_country_or_language_still_gets_a_way_to_a_human(phone, resources):
    assert names(phone().get(URL, {"country": "JP", "language": "ja"})) == ["directory en"]
    assert names(phone().get(URL, {"country": "DE", "language": "ja"})) == [
        "emergency de",
        "emergency en",
        "line de",
        "directory en",
    ]


def test_the_language_of_the_phone_counts(phone, resources):
    assert names(phone().get(URL, {"country": "DE"}, headers={"Accept-Language": "de-AT"}))[0] == "emergency de"


def test_a_country_that_is_none_is_refused_with_its_pointer(phone, resources):
    refused = phone().get(URL, {"country": "Germany"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/country")


def test_the_shipped_resources_load_once_and_keep_what_operators_changed():
    folder = django_settings.BASE_DIR / "fixtures" / "crisis"
    count = len(services.load_crisis_resources(folder))
    expected = sum(len(json.loads(path.read_text())["resources"]) for path in folder.glob("*.json"))
    assert count == expected == CrisisResource.objects.count()
    CrisisResource.objects.filter(country="DE", slug="emergency", language="de").update(phone="changed")
    services.load_crisis_resources(folder)
    assert CrisisResource.objects.count() == expected
    assert CrisisResource.objects.get(country="DE", slug="emergency", language="de").phone == "changed"
    assert services.crisis_card("US", "en")["resources"][0].emergency
