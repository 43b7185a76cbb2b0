"""Everybody of the matrix, and things of Ada's that a wrong answer would show.

A room that adds a resource adds here what of Ada's it could show, and a line to `expectations`.
"""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from django.db.models import Model
from django.utils import timezone

from interventions.models import Activity, Decision, Version
from mhealth.checkins.models import CheckIn, DisparityReport, Explanation
from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import InstrumentVersion, Response
from mhealth.people.models import ConsentDocument, Device, Participant, StudyMember, User
from mhealth.research.models import Export
from mhealth.safety import services as safety
from mhealth.trials import services as trials
from mhealth.trials.models import Screening
from tests import factories
from tests.outcomes import instruments
from tests.trials import factories as trial_factories

PLANTED = "planted-by-ada"
PASSAGE = {"start_s": 0.0, "end_s": 2.5, "face": "happiness", "face_probability": 0.8, "voice": "sadness"} | {
    "voice_probability": 0.7, "divergence_bits": 0.6, "score": 2.0, "p_value": 0.01, "alert": True
}  # fmt: skip


@dataclass
class World:
    """`people` by column of the matrix; `objects` of Ada's, and `others` of nobody in particular, by name."""

    people: dict[str, User | None]
    ada: Participant
    objects: dict[str, Model] = field(default_factory=dict)
    others: dict[str, Model] = field(default_factory=dict)

    @property
    def marks(self) -> set[bytes]:
        """What only those who may see Ada's rows may find in an answer."""
        ids = {str(getattr(thing, "id", thing.pk)) for thing in self.objects.values()}
        long_ids = {one for one in ids if len(one) > 8}  # a small number may stand in any answer
        return {mark.encode() for mark in {PLANTED, str(self.ada.pk), *long_ids}}


def make() -> World:
    study = factories.study()
    north, south = factories.care_team(study), factories.care_team(study, name="South team")
    ada = factories.participant(north, "ada", gender=PLANTED)
    world = World(people=everybody(study, north, south, ada), ada=ada)
    for add in (add_people, add_safety, add_checkins, add_trials, add_interventions, add_research):
        add(world)
    return world


def everybody(study, north, south, ada: Participant) -> dict[str, User | None]:
    """The outsider has every staff role, in another study."""
    elsewhere = factories.study("elsewhere")
    outsider = factories.member("oscar", "researcher", elsewhere)
    for role in ("trial_manager", "reviewer", "operator", "clinician"):
        outsider.groups.add(factories.Group.objects.get(name=role))
    factories.care_team(elsewhere, name="Elsewhere team").clinicians.add(outsider)
    return {
        "nobody": None,
        "owner": ada.user,
        "other": factories.participant(south, "ben").user,
        "clinician": factories.clinician("carol", north),
        "other_clinician": factories.clinician("dan", south),
        "reviewer": factories.member("eve", "reviewer", study),
        "researcher": factories.member("rae", "researcher", study),
        "manager": factories.member("tom", "trial_manager", study),
        "operator": factories.member("ola", "operator", study),
        "outsider": outsider,
    }


def add_people(world: World) -> None:
    device, _ = Device.objects.create(user=world.ada.user, name=PLANTED)
    document = ConsentDocument.objects.create(study=world.ada.study, version="1", language="en", text="Agree?")
    world.objects["device"], world.others["document"] = device, document
    world.ada.erasure_requests.create(due_at=timezone.now() + timedelta(days=7))


def add_safety(world: World) -> None:
    world.objects["risk_event"] = safety.raise_event(
        participant=world.ada, source="dass21", severity="severe", rule="test", evidence={"mark": PLANTED}
    )


def add_checkins(world: World) -> None:
    world.objects["check_in"] = CheckIn.objects.create(
        id=uuid.uuid4(),
        participant=world.ada,
        recorded_at=timezone.now(),
        zone="Europe/London",
        digest="0" * 64,
        status="done",
        finished_at=timezone.now(),
    )
    report = DisparityReport(check_in=world.objects["check_in"], score=2.0, p_value=0.01, models_used="face+voice")
    report.seal({"comparison": {"overall": PASSAGE, "passages": [PASSAGE]}, "rewritten": None})
    report.save()
    Explanation.objects.create(check_in=world.objects["check_in"], status="done")


def add_trials(world: World) -> None:
    """Ada is allocated after a scored baseline; an event, a deviation and a request to unblind are on record."""
    trial_factories.load_dass21()
    InstrumentVersion.objects.update(texts={"en": instruments.text("en", n_items=21, options=4)})
    manager = world.people["manager"]
    trial = trial_factories.running(world.ada.study, slots_per_stratum=2)
    enrolment = trial_factories.allocated(world.ada, trial)
    open_now = [{"name": "weekly", "day": 0}]
    [occasion] = outcomes.plan(
        participant=world.ada, instrument_slug="dass21", schedule=open_now, start_date=timezone.localdate()
    )
    note = partial(dict, enrolment=enrolment, by=manager, happened_at=timezone.now(), words=PLANTED)
    second = User.objects.create_user("second@example.org", "correct horse battery", is_staff=True)
    StudyMember.objects.create(study=world.ada.study, user=second)
    world.objects |= {
        "enrolment": enrolment,
        "occasion": occasion,
        "response": Response.objects.get(occasion__participant=world.ada),
        "screening": Screening.objects.create(trial=trial, participant=world.ada, reason="other"),
        "adverse_event": trials.record_adverse_event(**note(severity="mild", serious=False, related="unlikely")),
        "deviation": trials.record_deviation(**note(kind="window", major=False)),
        "unblinding": trials.ask_to_unblind(trial=trial, enrolment=enrolment, by=second, reason=PLANTED),
    }


def add_interventions(world: World) -> None:
    activity = Activity.objects.create(
        key="slow-breathing",
        technique="breathing",
        evidence={"reference": "a trial"},
        licence="CC-BY-4.0",
        minutes=3,
        effort=1,
        arousal_direction="down",
    )
    text = Version.objects.create(activity=activity, language="en", title="Breathe", summary="Slowly.", steps=["In."])
    world.objects["decision"] = Decision.objects.create(
        participant=world.ada, moment="asked:1", status="done", decided_at=timezone.now(), version=text
    )


def add_research(world: World) -> None:
    trial = world.objects["enrolment"].trial
    world.others["research_export"] = Export.objects.create(
        trial=trial, asked_by=world.people["researcher"], reason="analysis"
    )
    world.others["identifiable_export"] = Export.objects.create(
        trial=trial, asked_by=world.people["researcher"], reason="linkage", identifiable=True, status="receiving"
    )
