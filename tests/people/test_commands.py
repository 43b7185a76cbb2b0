import pytest
from django.core.management import CommandError, call_command

from mhealth.people.models import EnrolmentCode
from tests.people.conftest import PROFILE

pytestmark = pytest.mark.django_db


def test_codes_made_by_the_command_let_people_join(phone, study, team, capsys):
    call_command("make_enrolment_codes", study.slug, site="south", team=team.name, count=3)
    codes = capsys.readouterr().out.split()
    assert len(set(codes)) == 3
    answers = [phone().post("/api/v1/session/", {"enrolment_code": c, "profile": PROFILE}) for c in codes]
    assert [a.status_code for a in answers] == [201, 201, 201]
    stored = EnrolmentCode.objects.values_list("digest", flat=True)
    assert not set(codes) & set(stored)


@pytest.mark.parametrize("wrong", [{"site": "moon"}, {"team": "nobody"}, {"count": 0}, {"study": "none"}])
def test_a_wrong_argument_is_one_line_and_exit_code_two(study, team, wrong):
    given = {"study": study.slug, "site": "north", "team": team.name, "count": 1} | wrong
    with pytest.raises(CommandError) as refused:
        call_command("make_enrolment_codes", given.pop("study"), **given)
    assert refused.value.returncode == 2
    assert "\n" not in str(refused.value)
    assert not EnrolmentCode.objects.exists()
