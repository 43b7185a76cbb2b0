"""The demo study, loaded through the rooms' own services. Loading it again changes nothing."""

import json
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from interventions import services as interventions
from mhealth.outcomes.instruments import load_instruments
from mhealth.people.models import CareTeam, Consent, ConsentDocument, Participant, Study, StudyMember, User
from mhealth.platform.models import DataKey
from mhealth.safety.crisis import load_crisis_resources
from mhealth.safety.models import Duty
from mhealth.trials import services as trials
from mhealth.trials.models import Arm, Trial

FIXTURES = settings.BASE_DIR / "fixtures"
PASSWORD = "demo study 2026"  # noqa: S105 (of people who do not exist, on a server that says so)
ACCOUNT_FIELDS = ("first_name", "last_name", "credentials")
PERSON_FIELDS = ("birth_year", "sex", "site", "language", "country", "zone")
TRIAL = {
    "slug": "demo-trial",
    "title": "Calm Days: personalised activities against a fixed sequence",
    "stratify_by": ["site", "severity"],
    "severity_cuts": [14],
    "eligibility": [{"fact": "age", "at_least": 18}],
    "schedule": [
        {"instrument": "dass21", "from": "enrolment", "name": "baseline", "day": 0, "days_open": 14},
        {"instrument": "dass21", "from": "allocation", "name": "week 2", "day": 14},
        {"instrument": "dass21", "from": "allocation", "name": "week 4", "day": 28},
    ],
    "slots_per_stratum": 40,
    "expected_people": 60,
    "analysis_plan": "ANCOVA of week 4 depression on arm, baseline and strata.",
}


@transaction.atomic
def load(folder: Path = FIXTURES) -> Study:
    """Everything that `fixtures/` holds, and a running trial with masked arms."""
    load_instruments(folder / "instruments")
    load_crisis_resources(folder / "crisis")
    study = _study(_read(folder / "study.json"))
    people = _read(folder / "people.json")
    for language in study.languages:
        _consent_document(study, _read(folder / "consents" / f"{language}.json"))
    for member in people["staff"]:
        _staff(study, member)
    for person in people["participants"]:
        _participant(study, person)
    _rota(study)
    _activities(folder)
    _trial(study)
    return study


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _study(content: dict) -> Study:
    teams = content.pop("care_teams")
    study, _ = Study.objects.get_or_create(slug=content.pop("slug"), defaults=content)
    for team in teams:
        CareTeam.objects.get_or_create(study=study, name=team["name"])
    return study


def _consent_document(study: Study, content: dict) -> ConsentDocument:
    key = {"study": study, "version": content["version"], "language": content["language"]}
    return ConsentDocument.objects.get_or_create(**key, defaults={"text": content["text"]})[0]


def _account(content: dict, **fields: object) -> User:
    known = User.objects.filter(email=content["email"]).first()
    if known:
        return known
    fields |= {name: content[name] for name in ACCOUNT_FIELDS if name in content}
    account = User.objects.create_user(content["email"], PASSWORD, **fields)
    account.groups.add(Group.objects.get(name=content["role"]))
    return account


def _staff(study: Study, content: dict) -> None:
    account = _account(content, is_staff=True)
    if team := content.get("care_team"):
        CareTeam.objects.get(study=study, name=team).clinicians.add(account)
    else:
        StudyMember.objects.get_or_create(study=study, user=account)


def _rota(study: Study) -> None:
    """Somebody is on call for the next fortnight, so that the demo does not warn of uncovered hours."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    on_call = User.objects.filter(care_teams__study=study).order_by("pk").first()
    for starts_at, ends_at in Duty.objects.uncovered(study, today, today + timedelta(days=14)):
        Duty.objects.create(study=study, clinician=on_call, starts_at=starts_at, ends_at=ends_at)


def _participant(study: Study, content: dict) -> None:
    account = _account(content)
    if Participant.objects.filter(user=account).exists():
        return
    team = CareTeam.objects.get(study=study, name=content["care_team"])
    profile = {name: content[name] for name in PERSON_FIELDS}
    person = Participant.objects.create(user=account, study=study, care_team=team, data_key=DataKey.make(), **profile)
    document = ConsentDocument.objects.get(study=study, language=person.language)
    for scope in content["consents"]:
        Consent.objects.create(
            participant=person,
            scope=scope,
            given=True,
            document_version=document.version,
            language=document.language,
            text_digest=document.digest,
            how="demo",
        )


def _activities(folder: Path) -> None:
    author, *reviewers = (User.objects.get(email=f"{name}@example.org") for name in ("carol", "nora", "piet"))
    interventions.load_reasons(folder / "reasons", folder / "words")
    interventions.load_activities(folder / "activities", author=author)
    interventions.validate_as_demo(author=author, reviewers=reviewers)


def _trial(study: Study) -> Trial:
    known = Trial.objects.filter(slug=TRIAL["slug"]).first()
    if known:
        return known
    trial = Trial.objects.create(study=study, **TRIAL)
    for position, policy in enumerate(("personalised", "fixed_sequence")):
        Arm.objects.create(trial=trial, position=position, name=policy.replace("_", " "), policy=policy, share=1)
    return trials.start(trial=trials.seal_list(trial=trial))
