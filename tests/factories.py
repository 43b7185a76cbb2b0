"""Make the people and things of a story, each through the same models that the product uses."""

from django.contrib.auth.models import Group
from rest_framework.test import APIClient

from mhealth.people.models import CareTeam, Consent, Device, Participant, Scope, Study, StudyMember, User
from mhealth.platform.models import DataKey


def study(slug: str = "calm", **fields) -> Study:
    defaults = {
        "name": "Calm study",
        "languages": ["en", "de"],
        "countries": ["GB", "DE"],
        "sites": ["north", "south"],
        "contact_email": "study@example.org",
    }
    return Study.objects.create(slug=slug, **(defaults | fields))


def care_team(study: Study, name: str = "North team") -> CareTeam:
    return CareTeam.objects.create(study=study, name=name)


def user(name: str, role: str, **fields) -> User:
    account = User.objects.create_user(
        f"{name}@example.org", "correct horse battery", first_name=name.title(), **fields
    )
    account.groups.add(Group.objects.get(name=role))
    return account


def participant(team: CareTeam, name: str, *, consents: tuple[str, ...] = tuple(Scope.values), **fields) -> Participant:
    defaults = {"site": "north", "birth_year": 1990, "sex": "female", "language": "en", "zone": "Europe/London"}
    person = Participant.objects.create(
        user=user(name, "participant"),
        study=team.study,
        care_team=team,
        data_key=DataKey.make(),
        **(defaults | fields),
    )
    for scope in consents:
        consent(person, scope)
    return person


def consent(person: Participant, scope: str, given: bool = True) -> Consent:
    return Consent.objects.create(
        participant=person, scope=scope, given=given, document_version="1", language="en", text_digest="0" * 64
    )


def clinician(name: str, team: CareTeam) -> User:
    account = user(name, "clinician", is_staff=True, credentials="Clinical psychologist")
    team.clinicians.add(account)
    return account


def member(name: str, role: str, study: Study) -> User:
    account = user(name, role, is_staff=True, credentials="CBT therapist" if role == "reviewer" else "")
    StudyMember.objects.create(study=study, user=account)
    return account


def phone(person: Participant | User | None = None) -> APIClient:
    client = APIClient(raise_request_exception=False)
    if person is not None:
        _, token = Device.objects.create(user=getattr(person, "user", person))
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client
