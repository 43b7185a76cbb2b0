import hashlib

import pytest

from mhealth.people import services
from mhealth.people.models import ConsentDocument

PROFILE = {"zone": "Europe/Berlin", "birth_year": 1988, "sex": "male", "country": "DE", "language": "de"}


@pytest.fixture
def code(study, team):
    return services.make_enrolment_codes(study=study, site="north", care_team=team, count=1)[0]


@pytest.fixture
def document(study):
    return ConsentDocument.objects.create(study=study, version="2", language="en", text="We analyse your voice.")


@pytest.fixture
def agreed(document):
    """What a phone sends to agree to a scope of the document."""

    def body(scope: str) -> dict:
        digest = hashlib.sha256(document.text.encode()).hexdigest()
        return {"scope": scope, "given": True, "document_version": "2", "language": "en", "text_digest": digest}

    return body
