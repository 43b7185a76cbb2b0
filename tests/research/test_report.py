"""The report as a researcher gets it: the command, the page, its numbers, and what it must not tell too early."""

import hashlib
import json
import re
import zipfile
from datetime import timedelta
from io import BytesIO, StringIO

import numpy as np
import pandas as pd
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import Occasion
from mhealth.platform import embedded
from mhealth.platform.models import AuditEvent
from mhealth.research.analysis.ancova import ancova
from mhealth.research.report import outcome_sections
from mhealth.research.report.data import TrialData
from mhealth.research.report.masking import is_dry_run
from mhealth.trials import data_rights, services
from mhealth.trials.models import Arm, Enrolment
from mhealth.trials.services import Assessment
from tests import factories as people
from tests.outcomes.instruments import ITEMS
from tests.research.conftest import earlier, unblind
from tests.trials import factories

pytestmark = pytest.mark.django_db
EXPORTS = "/api/v1/research/exports/"
N_PEOPLE, FOUR_WEEKS = 16, timedelta(days=28)


@pytest.fixture(autouse=True)
def few_imputations(monkeypatch):
    monkeypatch.setattr(outcome_sections, "N_IMPUTATIONS", 3)


@pytest.fixture
def followed(study, team):
    """16 people; four weeks later arm 0 is 3 raw points better; two did not answer, one of them left, one is erased."""
    factories.load_dass21()
    trial = factories.running(study, stratify_by=["site"], slots_per_stratum=40)
    rng = np.random.default_rng(4)
    for number in range(N_PEOPLE):
        person = people.participant(team, f"p{number}", site=["north", "south"][number % 2], zone="UTC")
        start = int(rng.integers(6, 19))
        given = [[0] * 21, [1] * 21, [2] * 21][start % 3]
        enrolment = factories.allocated(person, trial, given)
        base = given[0] * 7
        _four_weeks_pass(enrolment)
        arm = enrolment.slot.arm_index()
        last = person.occasions.get(name="week 4")
        if number not in (3, 4):
            raw = int(np.clip(base + 4 + rng.integers(-3, 4) - 3 * (arm == 0), 0, 21))
            outcomes.answer(occasion=last, answers=_spread(raw), answered_at=timezone.now())
        if number == 3:
            services.withdraw(enrolment=enrolment, kind="stop")
    return trial


def _spread(raw: int) -> list[int]:
    """Answers whose sum is `raw` on every scale of seven."""
    given = [0] * 21
    for numbers in ITEMS.values():
        for place, number in enumerate(numbers):
            given[number - 1] = raw // 7 + (place < raw % 7)
    return given


def _four_weeks_pass(enrolment: Enrolment) -> None:
    earlier(enrolment, FOUR_WEEKS, "enrolled_at", "allocated_at")
    earlier(enrolment.baseline, FOUR_WEEKS, "answered_at", "received_at")
    for occasion in enrolment.participant.occasions.all():
        earlier(occasion, FOUR_WEEKS, "opens_at", "due_at", "closes_at", "created_at")


@pytest.fixture
def desk_of(client, settings):
    settings.STAFF_SECOND_FACTOR = False

    def sit_down(user):
        client.force_login(user)
        return client

    return sit_down


@pytest.fixture
def report(followed, rae, tmp_path):
    """`report()` runs the command as rae and returns its folder; `followed.slug` is the trial."""

    def run(name: str = "out", slug: str | None = None, by: str = "rae@example.org", reason: str = "primary analysis"):
        said = StringIO()
        call_command("trial_report", slug or followed.slug, out=tmp_path / name, by=by, reason=reason, stdout=said)
        return tmp_path / name

    return run


def csv(folder, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv")


def truth(trial) -> pd.DataFrame:
    """Baseline and week 4 of everybody, read from the tables by hand."""
    rows = []
    for enrolment in Enrolment.objects.filter(trial=trial):
        scores = {score.scale: float(score.value) for score in enrolment.baseline.scores.all()}
        given = enrolment.participant.occasions.get(name="week 4").responses.first()
        after = {s.scale: float(s.value) for s in given.scores.all()} if given else {}
        rows.append(
            {
                "arm": enrolment.read_arm().name,
                "site": enrolment.participant.site,
                "before": scores["depression"],
                "after": after.get("depression", np.nan),
            }
        )
    return pd.DataFrame(rows)


def test_after_unblinding_the_page_holds_the_ancova_of_the_tables(followed, report):
    unblind(followed)
    folder = report()
    line = csv(folder, "ancova").set_index("scale").loc["dass21_depression"]
    effect = ancova(
        truth(followed), outcome="after", baseline="before", strata=["site"], reference="fixed_sequence arm"
    )[0]
    assert line["estimate"] == pytest.approx(effect.estimate, rel=1e-5)
    assert line["p"] == pytest.approx(effect.p, rel=1e-4)
    assert (line["arm"], line["reference"]) == ("personalised arm", "fixed_sequence arm")
    page = (folder / "report.html").read_text()
    assert f"{effect.estimate:.2f}".replace("-", "\N{MINUS SIGN}") in page
    assert "dry run" not in page.lower()


def test_the_flow_adds_up_with_people_who_left_or_were_erased(followed, report):
    answered = Occasion.objects.filter(name="week 4", responses__isnull=False)
    erased = Enrolment.objects.filter(trial=followed, participant__occasions__in=answered).first()
    arm = erased.read_arm().name
    before = truth(followed)
    data_rights.erase_person(erased.participant)
    type(erased.participant).objects.filter(pk=erased.participant_id).update(status="erased")
    unblind(followed)
    flow = csv(report(), "flow").set_index("stage")
    assert flow.loc["allocated"].sum() == N_PEOPLE
    assert flow.loc["withdrew_erase_all"].to_dict() == {arm: 1} | {name: 0 for name in flow if name != arm}
    assert flow.loc["analysed"].sum() == before["after"].notna().sum() - 1
    parts = flow.loc[["stayed_without_outcome", "withdrew_without_outcome", "analysed"]].sum()
    assert (parts == flow.loc["allocated"]).all()


def test_before_unblinding_the_arms_are_shuffled_and_nobody_is_named(followed, report, rae):
    folder = report()
    page = (folder / "report.html").read_text()
    assert "Blinded dry run" in page
    assert json.loads((folder / "manifest.json").read_text())["dry_run"] is True
    assert not [arm.name for arm in Arm.objects.all() if arm.name in page or arm.policy in page]
    real = ancova(truth(followed), outcome="after", baseline="before", strata=["site"], reference="fixed_sequence arm")[
        0
    ]
    shown = csv(folder, "ancova").set_index("scale").loc["dass21_depression"]
    # no other division of fourteen people gives this estimate again; near it many come, by chance
    assert abs(shown["estimate"]) != pytest.approx(abs(real.estimate), abs=1e-4)
    everything = "".join(path.read_text() for path in folder.iterdir())
    for enrolment in Enrolment.objects.select_related("participant__user"):
        assert enrolment.participant.user.email not in everything
        assert str(enrolment.participant_id) not in everything
    event = AuditEvent.objects.get(action="research.reported")
    assert event.actor == str(rae.pk)
    assert event.details["reason"] == "primary analysis"
    assert event.details["dry_run"] is True


NOBODY = Assessment(turned_away={}, waiting=0, left=0, randomised=0, unmet={})


def test_the_shuffle_tells_nothing_of_the_arms():
    """Over many seeds the shuffled arm agrees with the real one as often as a coin; every frame follows it."""
    who = [f"P{n:02}" for n in range(30)]
    real = pd.Series(["treated"] * 15 + ["control"] * 13 + [None] * 2, index=who, dtype=object)
    frame = pd.DataFrame({"person": who, "arm": real.to_numpy()})
    found = TrialData(*[frame] * 7, unblindings=pd.DataFrame({"of": []}), assessment=NOBODY)
    same = []
    for seed in range(100):
        other = found.shuffled(seed, ("A", "B"))
        dealt = other.entered.set_index("person")["arm"]
        assert dealt.value_counts().to_dict() == {"B": 15, "A": 13}
        assert dealt.isna().tolist() == real.isna().tolist()
        assert (other.people["arm"].dropna() == other.entered["arm"].dropna()).all()
        same.append(((dealt == "B") == (real == "treated"))[:28].mean())
    assert np.mean(same) == pytest.approx((15**2 + 13**2) / 28**2, abs=0.04)


def test_the_same_data_give_the_same_bytes_and_every_table_and_figure_is_a_file_with_its_hash(followed, report):
    unblind(followed)
    folder, other = report("one"), report("other")
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert all((folder / name).read_bytes() == (other / name).read_bytes() for name in names)
    page = (folder / "report.html").read_text()
    named = re.findall(r"(?:Numbers|File): .*?([a-z_]+\.(?:csv|svg))", page)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert set(named) <= set(files)
    assert len(named) > 12
    for name, digest in files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched


def test_harms_deviations_and_unblindings_are_counted(followed, report, tom):
    enrolment = Enrolment.objects.filter(trial=followed, status="allocated").first()
    about = {"enrolment": enrolment, "by": tom, "happened_at": timezone.now()}
    services.record_adverse_event(words="secret fall", severity="severe", serious=True, related="possible", **about)
    services.record_deviation(words="secret haste", kind="late questionnaire", major=True, **about)
    services.ask_to_unblind(trial=followed, by=tom, reason="secret emergency", enrolment=enrolment)
    unblind(followed)
    folder = report()
    arm = enrolment.read_arm().name
    event = csv(folder, "adverse_events").iloc[0]
    assert (event["severity"], event[arm]) == ("severe", 1)
    assert csv(folder, "deviations").iloc[0][arm] == 1
    asked = csv(folder, "unblindings").set_index(["of", "status"])["requests"].to_dict()
    assert asked == {("one person", "asked"): 1, ("whole trial", "approved"): 1}
    assert "secret" not in (folder / "report.html").read_text()


def test_the_page_is_asked_for_and_downloaded_without_a_command(followed, report, phone, rae, settings):
    settings.LEASE_S = 600  # its renewal, in another thread, would wait for the transaction of this test
    asked = phone(rae).post(EXPORTS, {"trial": followed.slug, "reason": "draft", "formats": ["report"]})
    assert (asked.status_code, asked.json()["formats"]) == (202, ["report"])
    embedded.run_pending()
    done = phone(rae).get(f"{EXPORTS}{asked.json()['id']}/").json()
    assert done["status"] == "done"
    archive = zipfile.ZipFile(BytesIO(phone().get(done["link"]).getvalue()))
    folder = report()
    assert {name: archive.read(name) for name in archive.namelist()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    taken = AuditEvent.objects.get(action="research.exported")
    assert (taken.details["filters"]["formats"], taken.details["reason"]) == (["report"], "draft")


@pytest.mark.parametrize("more", [{"formats": ["report", "csv"]}, {"formats": ["report"], "sites": ["north"]}])
def test_a_report_is_of_the_whole_trial_and_goes_alone(followed, phone, rae, more):
    refused = phone(rae).post(EXPORTS, {"trial": followed.slug, "reason": "draft"} | more)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:mhealth:problem:report-stands-alone")


def test_a_report_of_nobody_ends_without_a_file_and_says_why(study, phone, rae, desk_of):
    factories.load_dass21()
    trial = factories.running(study)
    asked = phone(rae).post(EXPORTS, {"trial": trial.slug, "reason": "draft", "formats": ["report"]}).json()
    embedded.run_pending()
    ended = phone(rae).get(f"{EXPORTS}{asked['id']}/").json()
    assert (ended["status"], ended["link"], ended["sha256"]) == ("unusable", None, "")
    page = desk_of(rae).get(reverse("admin:research_export_change", args=[asked["id"]])).content.decode()
    assert "nothing to report yet: no outcome is planned after allocation, or nobody has entered" in page


class TestRefusals:
    def wrong(self, **options) -> str:
        with pytest.raises(CommandError) as problem:
            call_command("trial_report", *options.pop("args", []), **options)
        assert problem.value.returncode == 2
        assert "\n" not in str(problem.value)
        return str(problem.value)

    def test_options_must_be_given(self, db):
        assert self.wrong() == "missing: SLUG, --out, --by, --reason"

    def test_trial_and_user_must_exist(self, followed, rae, tmp_path):
        about = {"out": tmp_path / "out", "reason": "x"}
        assert self.wrong(args=["other"], by="rae@example.org", **about) == "no trial other"
        assert self.wrong(args=[followed.slug], by="nobody@example.org", **about) == "no user nobody@example.org"

    def test_only_researchers_of_the_study_may(self, followed, tom, carol, tmp_path):
        stranger = people.member("rob", "researcher", people.study(slug="other"))
        for user in (tom, carol, stranger):
            said = self.wrong(args=[followed.slug], by=user.email, out=tmp_path / "out", reason="x")
            assert "no such trial in your studies" in said
        assert not (tmp_path / "out").exists()

    def test_a_trial_without_people_has_no_report(self, study, rae, tmp_path):
        factories.load_dass21()
        trial = factories.running(study)
        said = self.wrong(args=[trial.slug], by=rae.email, out=tmp_path / "out", reason="x")
        assert "nothing to report yet" in said
        assert list(tmp_path.glob("*out*")) == []

    def test_a_folder_that_cannot_be_written_is_one_line(self, followed, rae, tmp_path):
        (tmp_path / "file").write_text("")
        said = self.wrong(args=[followed.slug], by=rae.email, out=tmp_path / "file" / "out", reason="x")
        assert "cannot be written" in said


def test_an_open_label_trial_is_dry_until_it_is_closed_with_its_plan_locked(study, team, rae):
    factories.load_dass21()
    trial = factories.running(study, arms=(("personalised", 1), ("waiting_list", 1)))
    assert is_dry_run(trial)
    trial = services.close(trial=trial)
    assert is_dry_run(trial)
    assert not is_dry_run(services.lock_plan(trial=trial))
