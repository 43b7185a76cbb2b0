"""Pages of the staff site about a trial. A trial that is not the caller's does not exist."""

from django.contrib import admin
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from mhealth.platform import audit
from mhealth.platform.access import roles_of
from mhealth.portal.overview import drawings, flags, progress
from mhealth.portal.overview.people import Picture
from mhealth.research.cohort import code_of
from mhealth.research.models import Export
from mhealth.research.report.masking import is_dry_run
from mhealth.trials.models import Enrolment, Trial
from mhealth.trials.services.setup import subject_of

MOST_ROWS = 500
MOST_EXPORTS = 20


def _trials(request: HttpRequest):
    return Trial.objects.visible_to(request.user).exclude(status=Trial.Status.DRAFT).select_related("study", "key")


def _trial(request: HttpRequest, slug: str) -> Trial:
    return get_object_or_404(_trials(request).prefetch_related("arms"), slug=slug)


def _page(request: HttpRequest, template: str, **context: object) -> HttpResponse:
    return render(request, f"portal/{template}.html", admin.site.each_context(request) | context)


def overviews(request: HttpRequest) -> HttpResponse:
    """The trials of the caller's studies."""
    if not roles_of(request.user) & {"researcher", "trial_manager"}:
        raise Http404
    return _page(request, "overviews", title="Trial overviews", trials=_trials(request).order_by("title"))


def overview(request: HttpRequest, slug: str) -> HttpResponse:
    """Flow, curves, data quality and exports of one trial."""
    trial = _trial(request, slug)
    picture = Picture(trial, timezone.now(), by_arm=not is_dry_run(trial))
    entered, weeks = progress.entry(picture), progress.weeks(picture)
    return _page(
        request,
        "overview",
        title=f"{trial.title}: overview",
        trial=trial,
        by_arm=picture.by_arm,
        endpoint=picture.endpoint,
        entry=entered,
        flow=drawings.flow(entered, picture.endpoint),
        weeks=weeks,
        recruitment=drawings.recruitment(weeks) if weeks else "",
        curve=drawings.completion(weeks) if weeks else "",
        completion=progress.completion(picture),
        flags=flags.flags(trial),
        sites=flags.sites(picture),
        exports=_exports(request, trial),
        may_export=request.user.has_perm("research.add_export"),
    )


def flagged(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """The rows behind a flag, by the pseudonyms of the exports; that somebody looked is recorded."""
    trial = _trial(request, slug)
    found = flags.flag(trial, key)
    if found is None:
        raise Http404
    shown = found.rows[:MOST_ROWS]
    audit.record(actor=request.user, action="trial.flag_read", subject=subject_of(trial), flag=key, count=len(shown))
    rows = list(_named(trial, shown))
    return _page(request, "flag", title=f"{trial.title}: {found.title.lower()}", trial=trial, flag=found, rows=rows)


def _named(trial: Trial, rows: tuple[flags.Row, ...]):
    """(pseudonym, what, days since allocation or None): as an export would say it."""
    people = {row.person for row in rows}
    entered = Enrolment.objects.filter(trial=trial, participant__in=people).select_related("participant")
    enrolments = {enrolment.participant_id: enrolment for enrolment in entered}
    for row in rows:
        yield code_of(bytes(trial.study.salt), row.person), row.what, enrolments[row.person].day(row.at)


def _exports(request: HttpRequest, trial: Trial) -> list[Export]:
    """A researcher's own list; to a manager those that wait for a second person."""
    mine, theirs = Export.objects.visible_to(request.user), Export.objects.to_approve(request.user)
    rows = trial.exports.filter(Q(pk__in=mine.values("pk")) | Q(pk__in=theirs.values("pk")))
    return list(rows.select_related("asked_by").order_by("-queued_at")[:MOST_EXPORTS])
