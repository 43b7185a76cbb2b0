import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from interventions import services, validation
from interventions.models import Activity, Review, Version, VersionIsFixed
from interventions.services.content import CredentialsMissing, MoveNotAllowed, ReviewNotAllowed, UnusableContent
from interventions.validation import MOVES, State
from tests.interventions import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def in_review(carol):
    version = factories.draft(factories.activity("slow-breathing"), carol)
    return services.move(version=version, to_state=State.IN_REVIEW, user=carol)


def test_a_text_goes_from_draft_to_published_by_two_reviewers_and_back_out_by_suspension(in_review, carol, eve, finn):
    factories.rate(in_review, eve)
    factories.rate(in_review, finn, clarity=3)
    approved = services.move(version=in_review, to_state=State.APPROVED, user=finn)
    published = services.move(version=approved, to_state=State.PUBLISHED, user=carol)
    today = timezone.now().date()
    assert published.approved_by == finn
    assert published.next_review_on.year == today.year + 2
    assert published in Version.objects.offerable(today)
    suspended = services.move(version=published, to_state=State.SUSPENDED, user=eve)
    assert suspended not in Version.objects.offerable(today)


@pytest.mark.parametrize("from_state", State)
@pytest.mark.parametrize("to_state", State)
def test_only_the_moves_of_the_table_are_possible(from_state, to_state, carol, eve, finn):
    version = factories.draft(factories.activity("slow-breathing"), carol)
    version.state, version.review_round = from_state, 1
    version.save()
    for reviewer in (eve, finn):
        Review.objects.create(
            version=version, review_round=1, reviewer=reviewer, credentials="x", relevance=4, clarity=4, safety=4,
            verdict="approve",
        )  # fmt: skip
    who = MOVES[from_state].get(to_state)
    if who is None:
        for user in (carol, eve):
            with pytest.raises(MoveNotAllowed):
                services.move(version=version, to_state=to_state, user=user)
        return
    user = carol if "clinician" in who else eve
    assert services.move(version=version, to_state=to_state, user=user).state == to_state


def test_an_author_neither_approves_nor_reviews_their_own_text(study, carol, eve, finn):
    eve.groups.add(*carol.groups.all())  # a reviewer who also writes
    version = factories.draft(factories.activity("slow-breathing"), eve)
    version = services.move(version=version, to_state=State.IN_REVIEW, user=carol)
    with pytest.raises(ReviewNotAllowed):
        factories.rate(version, eve)
    third = factories_member(study)
    factories.rate(version, finn)
    factories.rate(version, third)
    assert State.APPROVED in version.allowed_moves(finn)
    assert State.APPROVED not in version.allowed_moves(eve)
    with pytest.raises(IntegrityError), transaction.atomic():
        Version.objects.filter(pk=version.pk).update(approved_by=eve)


def factories_member(study):
    from tests.factories import member

    return member("gus", "reviewer", study)


@pytest.mark.parametrize(
    ("ratings", "lacks"),
    [
        ([], "2 more reviews"),
        ([(4, 4, 4, "approve")], "1 more review"),
        ([(4, 4, 4, "approve"), (4, 4, 4, "change")], "asks for changes"),
        ([(4, 4, 4, "approve"), (4, 4, 2, "approve")], "safety"),
        ([(4, 4, 4, "approve"), (2, 4, 4, "approve")], "0.83, 0.9 is needed"),
    ],
)
def test_approval_says_what_it_lacks(in_review, eve, finn, ratings, lacks):
    for reviewer, (relevance, clarity, safety, verdict) in zip((eve, finn), ratings, strict=False):
        factories.rate(in_review, reviewer, relevance, clarity, safety, verdict)
    assert lacks in "; ".join(in_review.what_approval_lacks())
    with pytest.raises(MoveNotAllowed):
        services.move(version=in_review, to_state=State.APPROVED, user=eve)


def test_reviews_of_an_earlier_round_do_not_count(in_review, carol, eve, finn):
    factories.rate(in_review, eve, verdict="change")
    factories.rate(in_review, finn)
    back = services.move(version=in_review, to_state=State.CHANGES_ASKED, user=eve)
    back.title = "A clearer title"
    back.save()
    again = services.move(version=back, to_state=State.IN_REVIEW, user=carol)
    assert "2 more reviews" in "; ".join(again.what_approval_lacks())
    factories.rate(again, eve)
    factories.rate(again, finn)
    assert again.what_approval_lacks() == []


def test_a_reviewer_reviews_once_and_needs_credentials(in_review, eve, finn):
    factories.rate(in_review, eve)
    with pytest.raises(ReviewNotAllowed):
        factories.rate(in_review, eve)
    finn.credentials = ""
    finn.save()
    with pytest.raises(CredentialsMissing):
        factories.rate(in_review, finn)


def test_a_text_that_reviewers_have_seen_cannot_change_and_a_draft_can(in_review, carol):
    in_review.title = "Another title"
    with pytest.raises(VersionIsFixed):
        in_review.save()
    draft = factories.draft(in_review.activity, carol, number=2)
    draft.title = "Another title"
    draft.save()
    assert Version.objects.get(pk=draft.pk).title == "Another title"


def test_publishing_a_new_version_retires_the_one_before(carol, eve, finn):
    activity = factories.activity("slow-breathing")
    first = factories.publish(factories.draft(activity, carol), carol, [eve, finn])
    second = factories.publish(factories.draft(activity, carol, number=2), carol, [eve, finn])
    first.refresh_from_db()
    assert (first.state, second.state) == (State.RETIRED, State.PUBLISHED)


def test_a_text_past_its_review_date_is_not_offerable(shelf):
    today = timezone.now().date()
    version = Version.objects.offerable(today).first()
    Version.objects.filter(pk=version.pk).update(next_review_on=today.replace(year=today.year - 1))
    assert version not in Version.objects.offerable(today)
    assert Version.objects.offerable(today).count() == len(shelf) - 1


def test_suspending_an_activity_takes_every_language_out_at_once(carol, eve, finn):
    shelf = factories.shelf(carol, [eve, finn], languages=("en", "de"))
    services.suspend_activity(activity=shelf["five-senses"], user=eve)
    offerable = Version.objects.offerable(timezone.now().date())
    assert not offerable.filter(activity=shelf["five-senses"]).exists()
    assert offerable.count() == 2 * (len(shelf) - 1)


def test_history_keeps_who_did_what(in_review, carol, eve, finn):
    factories.rate(in_review, eve)
    factories.rate(in_review, finn)
    services.move(version=in_review, to_state=State.APPROVED, user=finn, comment="clear and safe")
    newest = in_review.history.first()
    assert (newest.state, newest.history_user, newest.history_change_reason) == (
        "approved",
        finn,
        "in review → approved: clear and safe",
    )


def test_content_validity_indices_by_hand():
    assert validation.item_cvi([4, 3, 2, 4]) == 0.75
    assert validation.scale_cvi({"relevance": [4, 4], "clarity": [4, 2], "safety": [3, 3]}) == pytest.approx(2.5 / 3)
    assert validation.item_cvi([]) is None
    assert validation.scale_cvi({"relevance": [4], "clarity": []}) is None


# The worked example of 14 raters, 10 subjects and 5 categories in Wikipedia's article "Fleiss' kappa".
WORKED_EXAMPLE = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def test_fleiss_kappa_agrees_with_a_published_example():
    assert validation.fleiss_kappa(WORKED_EXAMPLE) == pytest.approx(0.210, abs=0.0005)


def test_agreement_over_fewer_than_twenty_activities_is_not_said():
    too_few = validation.agreement(WORKED_EXAMPLE)
    assert (too_few.kappa, too_few.n_subjects) == (None, 10)
    assert too_few.why.startswith("too few")
    enough = validation.agreement(WORKED_EXAMPLE * 2)
    assert enough.low < enough.kappa < enough.high
    assert enough.kappa == pytest.approx(0.210, abs=0.0005)


def test_kappa_refuses_unequal_raters_and_knows_that_unanimity_in_one_category_says_nothing():
    with pytest.raises(ValueError, match="same number of raters"):
        validation.fleiss_kappa([[2, 0], [1, 0]])
    assert validation.fleiss_kappa([[2, 0], [2, 0]]) is None
    assert validation.agreement([[2, 0]] * 20).kappa is None


def test_the_demo_content_loads_once_and_is_published_only_through_demo_reviews(carol, eve, finn):
    loaded = services.load_activities(factories.FIXTURES / "activities", author=carol)
    assert len(loaded) >= 40
    assert not Version.objects.exclude(state=State.DRAFT).exists()
    texts = Version.objects.count()
    services.load_activities(factories.FIXTURES / "activities", author=carol)
    assert (Activity.objects.count(), Version.objects.count()) == (len(loaded), texts)
    assert services.validate_as_demo(author=carol, reviewers=[eve, finn]) == texts
    assert Version.objects.offerable(timezone.now().date()).count() == texts
    assert set(Review.objects.values_list("comment", flat=True)) == {services.content.DEMO_COMMENT}
    assert Review.objects.count() == 2 * texts
    assert services.validate_as_demo(author=carol, reviewers=[eve, finn]) == 0


def test_a_broken_content_file_is_named_and_nothing_is_loaded(tmp_path):
    good = factories.FIXTURES / "activities" / "five-senses.json"
    (tmp_path / "a.json").write_text(good.read_text())
    (tmp_path / "b.json").write_text('{"key": "x"}')
    with pytest.raises(UnusableContent, match=r"b\.json"):
        services.load_activities(tmp_path)
    assert not Activity.objects.exists()


def test_marking_a_published_activity_as_grounding_needs_a_new_review(shelf):
    from django.core.exceptions import ValidationError

    activity = shelf["slow-breathing"]
    activity.grounding = True
    with pytest.raises(ValidationError, match="suspend its texts first"):
        activity.full_clean()
    activity.grounding = False
    activity.full_clean()
