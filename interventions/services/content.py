"""Content from draft to published, and back out of sight."""

import json
from pathlib import Path

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from interventions import validation
from interventions.models import Activity, ContentFreeze, ContraIndication, ModelVersion, ReasonTexts, Review, Version
from interventions.validation import State
from mhealth.people.models import User
from mhealth.platform import audit
from mhealth.platform.problems import Problem
from mhealth.trials.models import Trial

DEMO_COMMENT = "demo validation: these reviewers do not exist"
# Scores that speak against an activity by themselves; clinicians may change them in the admin.
SCORE_RULES = {
    "extreme_distress": [{"scale": s, "at_least": "extremely severe"} for s in ("depression", "anxiety", "stress")],
    "panic": [{"scale": "anxiety", "at_least": "extremely severe"}],
}


class MoveNotAllowed(Problem):
    default_code = "move-not-allowed"
    title = "This step is not possible now"
    default_detail = "This step is not possible in the present state, or not for you."


class ReviewNotAllowed(Problem):
    default_code = "review-not-allowed"
    title = "This review is not possible"
    default_detail = "A text in review is reviewed once by each reviewer, never by its author."


class CredentialsMissing(Problem):
    default_code = "credentials-missing"
    title = "Credentials are missing"
    default_detail = "A reviewer's professional credentials must be recorded in the account first."


class UnusableContent(ValueError):
    """A content file cannot be read; the message names the file."""


@transaction.atomic
def move(*, version: Version, to_state: str, user: User, comment: str = "") -> Version:
    """One step of validation. A published text takes the place of the one before it. Raises MoveNotAllowed."""
    version = Version.objects.select_for_update(of=("self",)).select_related("activity").get(pk=version.pk)
    if to_state not in version.allowed_moves(user):
        raise MoveNotAllowed()
    now, was = timezone.now(), version.state
    version.state = to_state
    if to_state == State.IN_REVIEW:
        version.review_round += 1
    if to_state == State.APPROVED:
        version.approved_by, version.approved_at = user, now
    if to_state == State.PUBLISHED:
        _retire_predecessor(version, user)
        version.published_at, version.next_review_on = now, version.due_for_review_on(now.date())
    done = f"{State(was).label} → {State(to_state).label}"
    _save(version, user, f"{done}: {comment}" if comment else done)
    audit.record(actor=user, action=f"content.{to_state}", subject=f"interventions.Version/{version.pk}", was=was)
    return version


def _retire_predecessor(version: Version, user: User) -> None:
    others = version.activity.versions.filter(language=version.language, state=State.PUBLISHED)
    for other in others.exclude(pk=version.pk):
        other.state = State.RETIRED
        _save(other, user, f"replaced by version {version.number}")


def _save(version: Version, user: User | None, reason: str) -> None:
    version._history_user, version._change_reason = user, reason[:100]
    version.save()


@transaction.atomic
def suspend_activity(*, activity: Activity, user: User, comment: str = "") -> list[Version]:
    """Take every published text of an activity out of offers, at once. Raises MoveNotAllowed."""
    published = activity.versions.filter(state=State.PUBLISHED)
    return [move(version=v, to_state=State.SUSPENDED, user=user, comment=comment) for v in published]


@transaction.atomic
def review(
    *, version: Version, reviewer: User, relevance: int, clarity: int, safety: int, verdict: str, comment: str = ""
) -> Review:
    """One reviewer's ratings (1–4) and verdict. Raises ReviewNotAllowed or CredentialsMissing."""
    version = Version.objects.select_for_update().get(pk=version.pk)
    if not version.may_be_reviewed_by(reviewer):
        raise ReviewNotAllowed()
    if not reviewer.credentials.strip():
        raise CredentialsMissing()
    written = Review(
        version=version,
        review_round=version.review_round,
        reviewer=reviewer,
        credentials=reviewer.credentials,
        relevance=relevance,
        clarity=clarity,
        safety=safety,
        verdict=verdict,
        comment=comment,
    )
    written._history_user = reviewer
    written.save()
    audit.record(
        actor=reviewer, action="content.reviewed", subject=f"interventions.Version/{version.pk}", verdict=verdict
    )
    return written


@transaction.atomic
def copy_as_draft(*, version: Version, by: User) -> Version:
    """A new draft with the same text, as the next number of its language."""
    others = Version.objects.filter(activity=version.activity, language=version.language)
    text = {name: getattr(version, name) for name in Version.TEXT_FIELDS if name != "number"}
    draft = Version(number=others.aggregate(last=Max("number"))["last"] + 1, author=by, **text)
    _save(draft, by, f"copied from version {version.number}")
    return draft


def reviewer_agreement() -> dict[str, validation.Agreement]:
    """Fleiss' kappa per criterion, over the activities whose newest reviewed text has two reviews or more."""
    tables: dict[str, dict[int, list[int]]] = {criterion: {} for criterion in validation.CRITERIA}
    reviewed = Version.objects.exclude(reviews=None).prefetch_related("reviews").order_by("activity", "pk")
    for version in reviewed:
        for criterion, ratings in version.ratings().items():
            if len(ratings) >= validation.REVIEWERS_NEEDED:
                pair = ratings[: validation.REVIEWERS_NEEDED]
                tables[criterion][version.activity_id] = [pair.count(rating) for rating in (1, 2, 3, 4)]
    return {criterion: validation.agreement(list(table.values())) for criterion, table in tables.items()}


@transaction.atomic
def load_activities(folder: Path, author: User | None = None) -> list[Activity]:
    """Load every activity of a folder as drafts. What is there already stays as clinicians left it.

    Raises UnusableContent.
    """
    return [_load_activity(path, author) for path in sorted(Path(folder).glob("*.json"))]


def _load_activity(path: Path, author: User | None) -> Activity:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        texts, tags = content.pop("versions"), content.pop("contra_indications")
        known = Activity.objects.filter(key=content["key"]).first()
        activity = known or _new_activity(content, tags)
        for language, text in texts.items():
            _load_text(activity, language, text, author)
    except (OSError, KeyError, TypeError, ValueError) as problem:
        raise UnusableContent(f"{path.name}: {problem}") from problem
    return activity


def _new_activity(content: dict, tags: list[str]) -> Activity:
    activity = Activity(**content)
    activity.full_clean()
    activity.save()
    for tag in tags:
        known = {"name": tag.replace("_", " "), "rule": SCORE_RULES.get(tag, [])}
        contra_indication, _ = ContraIndication.objects.get_or_create(tag=tag, defaults=known)
        activity.contra_indications.add(contra_indication)
    return activity


def _load_text(activity: Activity, language: str, text: dict, author: User | None) -> None:
    if activity.versions.filter(language=language).exists():
        return
    version = Version(activity=activity, language=language, author=author, **text)
    version.full_clean()
    _save(version, author, "loaded")


@transaction.atomic
def load_reasons(reasons_folder: Path, words_folder: Path) -> list[ReasonTexts]:
    """Load the sentences and words of every language, replacing an older version of them. Raises UnusableContent."""
    loaded = []
    for path in sorted(Path(reasons_folder).glob("*.json")):
        try:
            reasons = json.loads(path.read_text(encoding="utf-8"))
            words = json.loads((Path(words_folder) / path.name).read_text(encoding="utf-8"))
            row = {
                "version": reasons["version"],
                "approved": reasons["approved"],
                "sentences": {kind: reasons[kind] for kind in ("shared", "open", "why_not")},
                "words": words,
            }
            loaded.append(ReasonTexts.objects.update_or_create(language=reasons["language"], defaults=row)[0])
        except (OSError, KeyError, ValueError) as problem:
            raise UnusableContent(f"{path.name}: {problem}") from problem
    return loaded


@transaction.atomic
def validate_as_demo(*, author: User, reviewers: list[User]) -> int:
    """Bring every draft to published through real moves and reviews that say they are a demo; return how many."""
    drafts = list(Version.objects.filter(state=State.DRAFT).select_related("activity"))
    for version in drafts:
        version = move(version=version, to_state=State.IN_REVIEW, user=author, comment="demo")
        for reviewer in reviewers:
            review(
                version=version,
                reviewer=reviewer,
                relevance=4,
                clarity=4,
                safety=4,
                verdict=Review.Verdict.APPROVE,
                comment=DEMO_COMMENT,
            )
        version = move(version=version, to_state=State.APPROVED, user=reviewers[-1], comment="demo")
        move(version=version, to_state=State.PUBLISHED, user=author, comment="demo")
    return len(drafts)


@transaction.atomic
def freeze_content(*, trial: Trial, by: User | None = None) -> ContentFreeze:
    """Hold the published texts and the present model still for a trial; a second call changes nothing."""
    freeze, new = ContentFreeze.objects.get_or_create(
        trial=trial, defaults={"model": ModelVersion.objects.present(), "made_by": by}
    )
    if new:
        freeze.versions.set(Version.objects.offerable(timezone.now().date()))
        audit.record(
            actor=by or "system",
            action="content.frozen",
            subject=f"trials.Trial/{trial.pk}",
            versions=freeze.versions.count(),
            model=freeze.model and freeze.model.name,
        )
    return freeze


def freezes_missing(trial: Trial) -> list[str]:
    """For the set-up check of a trial: what its people are offered must not change under them."""
    freeze = ContentFreeze.objects.filter(trial=trial).first()
    if freeze is None:
        return ["Texts and model are not frozen: without a content freeze what the arms offer changes on the way."]
    return [] if freeze.model else ["No model is frozen with the texts: the clinicians' order decides."]
