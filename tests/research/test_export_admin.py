"""Exports in the staff pages: asked for and approved by people who gave their password minutes ago."""

import pytest
from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from django.contrib.auth.models import Permission
from django.urls import reverse

from mhealth.platform import embedded
from mhealth.platform.models import AuditEvent
from mhealth.research import package, services
from mhealth.research.models import Export
from mhealth.trials import services as trials
from mhealth.trials.models import UnblindingRequest
from tests import factories as people

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
LIST, ADD = "/admin/research/export/", "/admin/research/export/add/"
WANTED = {"reason": "interim look", "formats": ["csv", "fhir"], "sites": "north"}


@pytest.fixture
def desk(client, settings):
    """`desk(rae)` is the staff site as rae sees it just after logging in."""
    settings.STAFF_SECOND_FACTOR = False

    def sit_down(user):
        client.logout()
        client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
        return client

    return sit_down


def a_while_later(client):
    """The same session, ten minutes after its password was given."""
    session = client.session
    for record in session[AUTHENTICATION_METHODS_SESSION_KEY]:
        record["at"] -= 600
    session.save()
    return client


def step(client, export, name: str):
    url = reverse(f"admin:research_export_{name}", args=[export.pk])
    return client.post(url, {"_form_submitted": "true"}, headers={"HX-Request": "true"})


@pytest.fixture
def with_identities(story, rae):
    rae.user_permissions.add(Permission.objects.get(codename="export_identifiable"))
    order = package.Order(("csv",), identifiable=True)
    return services.ask(trial=story, user=people.User.objects.get(pk=rae.pk), reason="linkage", order=order)


def test_a_researcher_asks_for_an_export_watches_it_and_takes_it_away(desk, story, rae):
    client = desk(rae)
    asked = client.post(ADD, WANTED | {"trial": story.pk}, follow=True)
    assert asked.redirect_chain[-1][0] == LIST, asked.context["errors"]
    waiting = asked.content.decode()
    assert "queued" in waiting
    assert "csv, fhir" in waiting
    assert "sites north" in waiting
    embedded.run_pending()
    export = Export.objects.get()
    assert "100 %" in client.get(LIST).content.decode()
    to_file = client.get(reverse("admin:research_export_download", args=[export.pk]))
    assert client.get(to_file.url).getvalue().startswith(b"PK")
    assert AuditEvent.objects.get(action="research.export_asked").details["reason"] == "interim look"
    assert AuditEvent.objects.get(action="research.export_taken").actor == str(rae.pk)


def test_ten_minutes_after_the_password_it_is_asked_for_again(desk, story, rae):
    client = a_while_later(desk(rae))
    refused = client.post(ADD, WANTED | {"trial": story.pk})
    assert refused.url == f"/accounts/reauthenticate/?next={ADD.replace('/', '%2F')}"
    assert not Export.objects.exists()
    assert client.post(refused.url, {"password": "guessed"}).status_code == 200
    assert client.post(ADD, WANTED | {"trial": story.pk}).url.startswith("/accounts/reauthenticate/")
    assert client.post(refused.url, {"password": PASSWORD}).url == ADD
    client.post(ADD, WANTED | {"trial": story.pk})
    assert Export.objects.get().asked_by == rae


def test_the_file_is_not_given_out_without_the_password_either(desk, story, rae):
    export = services.ask(trial=story, user=rae, reason="analysis", order=package.Order(("csv",)))
    services.build(Export.objects.take(export.pk))
    download = reverse("admin:research_export_download", args=[export.pk])
    assert "token=" in desk(rae).get(download).url
    assert a_while_later(desk(rae)).get(download).url.startswith("/accounts/reauthenticate/")


def test_what_the_api_refuses_is_refused_here_in_the_same_words(desk, story, rae):
    form = WANTED | {"trial": story.pk}
    assert "no such site" in desk(rae).post(ADD, form | {"sites": "moon, north"}).content.decode()
    assert "permission of their own" in desk(rae).post(ADD, form | {"identifiable": "on"}).content.decode()
    assert not Export.objects.exists()


def test_identities_wait_for_a_second_person_who_gives_the_password(desk, with_identities, rae, tom):
    assert step(desk(rae), with_identities, "approve").status_code == 403
    assert "awaiting approval" in desk(tom).get(LIST).content.decode()
    sent_away = step(a_while_later(desk(tom)), with_identities, "approve")
    assert sent_away.headers["HX-Redirect"].startswith("/accounts/reauthenticate/")
    assert Export.objects.get().stage == "awaiting_approval"
    step(desk(tom), with_identities, "approve")
    embedded.run_pending()
    export = Export.objects.get()
    assert (export.stage, export.decided_by) == ("done", tom)


def test_a_refused_export_is_never_built(desk, with_identities, tom):
    step(desk(tom), with_identities, "refuse")
    embedded.run_pending()
    assert Export.objects.get().stage == "refused"


def test_a_manager_sees_no_file_and_no_export_without_identities(desk, story, with_identities, rae, tom):
    plain = services.ask(trial=story, user=rae, reason="a look at the means")
    page = "/admin/research/export/{}/change/"
    assert "a look at the means" in desk(rae).get(page.format(plain.pk)).content.decode()
    assert desk(tom).get(page.format(plain.pk)).status_code == 302
    assert desk(tom).get(page.format(with_identities.pk)).status_code == 200
    assert desk(tom).get(reverse("admin:research_export_download", args=[with_identities.pk])).status_code == 403
    assert desk(tom).get(ADD).status_code == 403


def test_running_a_failed_export_again_is_recorded(desk, story, rae):
    failed = services.ask(trial=story, user=rae, reason="analysis", status="quarantined")
    done = services.ask(trial=story, user=rae, reason="analysis", status="done")
    again = {"action": "run_again", "_selected_action": [str(failed.pk), str(done.pk)]}
    desk(rae).post(LIST, again)
    assert set(Export.objects.values_list("pk", "status")) == {(failed.pk, "queued"), (done.pk, "done")}
    [event] = AuditEvent.objects.filter(action="research.export_run_again")
    assert (event.actor, event.subject) == (str(rae.pk), f"research.Export/{failed.pk}")


def test_unblinding_is_approved_by_someone_who_gave_the_password_lately(desk, story, tom, study):
    tess = people.member("tess", "trial_manager", study)
    trials.close(trial=story)
    trials.lock_plan(trial=story)
    asked = trials.ask_to_unblind(trial=story, by=tom, reason="analysis")
    url = reverse("admin:trials_unblindingrequest_approve", args=[asked.pk])
    sent_away = a_while_later(desk(tess)).post(url, {"_form_submitted": "true"}, headers={"HX-Request": "true"})
    assert sent_away.headers["HX-Redirect"].startswith("/accounts/reauthenticate/")
    assert UnblindingRequest.objects.get().status == "asked"
    desk(tess).post(url, {"_form_submitted": "true"})
    assert UnblindingRequest.objects.get().status == "approved"
