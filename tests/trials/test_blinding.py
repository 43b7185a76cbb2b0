"""The blinding matrix of docs/blinding.md, held against everything that each role can open."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.urls import reverse

from interventions import services as interventions
from mhealth.research.cohort import pseudonym
from mhealth.trials import services
from mhealth.trials.models import Arm, Enrolment
from tests import factories as people
from tests.access import expectations, requests, world
from tests.interventions import factories as content
from tests.trials.test_admin import desk  # noqa: F401 - the fixture

pytestmark = pytest.mark.django_db
PAGE = Path(__file__).parents[2] / "docs" / "blinding.md"
ROLES = ("participant", "clinician", "researcher", "asker", "approver", "reviewer", "operator")
# What stands in an answer if the field is told. Nothing else in the service looks like these.
TELLS = {
    "arm": r"planted arm",
    "policy": r"planted policy|planted chooser",
    "model": r"planted model",
    "scores": r"9876\.\d",
    "probabilities": r"0?\.8765|87\.7",
    "seed": r"424242424242",
    "activity offered": r"planted-by-ada activity",
}


@pytest.fixture
def scene(carol, eve, finn, ola, rae, ada, tom, study):
    """Ada in a masked trial, with a decision whose record holds what no other record holds."""
    content.shelf(carol, [eve, finn])
    trial = content.running_trial(study)
    enrolment = content.enrolled_in(ada, trial, "personalised")
    decision = interventions.decide(participant=ada, moment=f"asked:{uuid.uuid4()}")
    plant(decision, enrolment)
    cast = {
        "participant": ada.user,
        "clinician": carol,
        "researcher": rae,
        "asker": tom,
        "reviewer": eve,
        "operator": ola,
    }
    return enrolment, decision, cast | {"approver": people.member("tess", "trial_manager", study)}


def plant(decision, enrolment: Enrolment) -> None:
    record, n = decision.record, len(decision.record["choice"]["candidates"])
    choice = {"policy": "planted chooser", "seed": 424242424242, "scores": [9876.5] * n, "scores_sd": [9876.5] * n}
    choice |= {"probabilities": [0.8765] * n, "propensity": 0.8765}
    record |= {"policy": "planted policy", "model": "planted model", "choice": record["choice"] | choice}
    decision.sealed_record = decision.sealed(record)
    decision.save()
    type(decision.version).objects.filter(pk=decision.version_id).update(title="planted-by-ada activity")
    Arm.objects.filter(pk=enrolment.read_arm().pk).update(name="planted arm")


def observed(scene, desk, phone, tmp_path) -> dict[str, str]:  # noqa: F811
    """Field -> a sign for each role."""
    enrolment, decision, cast = scene
    about = re.compile("|".join(map(re.escape, names_of(enrolment, decision))))
    said = {role: list(answers(role, scene, desk, phone, tmp_path)) for role in ROLES}
    for role in ROLES[1:]:  # what a participant reads is about her
        said[role] = [text for text in said[role] if about.search(text)]
    assert said["participant"], "the crawl finds what it looks for"
    assert said["clinician"]
    return {
        field: "".join("X" if any(re.search(sign, text) for text in said[role]) else "·" for role in ROLES)
        for field, sign in TELLS.items()
    }


def names_of(enrolment: Enrolment, decision) -> list[str]:
    """By what an answer says that it is about Ada."""
    person = enrolment.participant
    return [str(person.pk)[:8], str(enrolment.pk), str(decision.pk), pseudonym(person.study, person)]


def answers(role: str, scene, desk, phone, tmp_path) -> Iterator[str]:  # noqa: F811
    enrolment, decision, cast = scene
    user = cast[role]
    yield from by_api(phone(user), enrolment, decision)
    if role != "participant":
        yield from by_pages(desk(user), enrolment, decision)
    if role == "researcher":
        folder = tmp_path / uuid.uuid4().hex
        call_command("export_trial", enrolment.trial.slug, out=folder, by=user.email, reason="look")
        yield from (path.read_bytes().decode(errors="ignore") for path in folder.rglob("*") if path.is_file())
    else:
        with pytest.raises(CommandError):
            call_command("export_trial", enrolment.trial.slug, out=tmp_path / "no", by=user.email, reason="look")


def by_api(device, enrolment: Enrolment, decision) -> Iterator[str]:
    """Every address that answers to GET, with Ada's things in its place."""
    asked = enrolment.unblinding_requests.first()  # hers; the one for the whole trial names no arm
    things = {"enrolment": enrolment, "decision": decision} | ({"unblinding": asked} if asked else {})
    made = world.World(people={}, ada=enrolment.participant, objects=things)
    for method, route in expectations.matrix():
        if method == "GET":
            try:
                address = requests.address(route, made)
            except KeyError:  # a thing that Ada has not here
                continue
            answer = device.get(address)
            if answer.status_code == 200 and not answer.streaming:
                yield answer.content.decode()


def by_pages(browser, enrolment: Enrolment, decision) -> Iterator[str]:
    """Every list of the staff pages, every page about Ada's rows, and the overview."""
    rows = [enrolment, decision, enrolment.trial, *enrolment.trial.unblinding_requests.all()]
    addresses = [reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk]) for row in rows]
    addresses.append(reverse("trial-overview", args=[enrolment.trial.slug]))
    for model in admin.site._registry:
        addresses.append(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
    for address in addresses:
        answer = browser.get(address, follow=True)  # what is not theirs is named by a message on the next page
        if answer.status_code == 200:
            yield answer.content.decode()


def test_who_may_know_what_is_what_the_page_says(scene, desk, phone, tmp_path):  # noqa: F811
    enrolment, _, cast = scene
    seen = {"masked": observed(scene, desk, phone, tmp_path)}
    about = {"trial": enrolment.trial, "by": cast["asker"], "reason": "in hospital"}
    asked = services.ask_to_unblind(enrolment=enrolment, **about)
    services.decide_unblinding(request=asked, by=cast["approver"], approve=True)
    seen["told in an emergency"] = observed(scene, desk, phone, tmp_path)
    trial = services.close(trial=services.lock_plan(trial=enrolment.trial, by=cast["asker"]), by=cast["asker"])
    everybody = services.ask_to_unblind(trial=trial, by=cast["asker"], reason="analysis")
    services.decide_unblinding(request=everybody, by=cast["approver"], approve=True)
    seen["unblinded"] = observed(scene, desk, phone, tmp_path)
    found = {(state, field): signs for state, fields in seen.items() for field, signs in fields.items()}
    assert found == written(), "\n".join(f"| {' | '.join([*key, *signs])} |" for key, signs in found.items())


def written() -> dict[tuple[str, str], str]:
    """(state, field) -> a sign for each role, as the page has it."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    (_, _, *roles), *rows = lines
    assert tuple(roles) == ROLES
    return {(state, field): "".join(signs) for state, field, *signs in rows}
