"""Clinical validation: which moves a version may make, who makes them, and how far reviewers agree.

Ratings run from 1 (not at all) to 4 (very); 3 and 4 count as agreement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from django.db.models import TextChoices

REVIEWERS_NEEDED = 2
SAFETY_LEAST = 3  # from every reviewer
SCALE_CVI_LEAST = 0.9  # Polit & Beck (2006): .90 for the scale
CRITERIA = ("relevance", "clarity", "safety")
KAPPA_ACTIVITIES_LEAST = 20


class State(TextChoices):
    DRAFT = "draft", "draft"
    IN_REVIEW = "in_review", "in review"
    CHANGES_ASKED = "changes_asked", "changes asked"
    APPROVED = "approved", "approved"
    PUBLISHED = "published", "published"
    SUSPENDED = "suspended", "suspended"
    RETIRED = "retired", "retired"


EDITABLE = {State.DRAFT, State.CHANGES_ASKED}  # in every other state the text of a version is fixed

# from -> to -> roles that may. What is not here is not possible.
# A suspended version comes back only through a new review.
MOVES: dict[State, dict[State, frozenset[str]]] = {
    State.DRAFT: {State.IN_REVIEW: frozenset({"clinician"}), State.RETIRED: frozenset({"clinician"})},
    State.IN_REVIEW: {State.CHANGES_ASKED: frozenset({"reviewer"}), State.APPROVED: frozenset({"reviewer"})},
    State.CHANGES_ASKED: {State.IN_REVIEW: frozenset({"clinician"}), State.RETIRED: frozenset({"clinician"})},
    State.APPROVED: {State.PUBLISHED: frozenset({"clinician"}), State.RETIRED: frozenset({"clinician"})},
    State.PUBLISHED: {State.SUSPENDED: frozenset({"clinician", "reviewer"}), State.RETIRED: frozenset({"clinician"})},
    State.SUSPENDED: {State.IN_REVIEW: frozenset({"clinician"}), State.RETIRED: frozenset({"clinician"})},
    State.RETIRED: {},
}
NOT_BY_THE_AUTHOR = {State.APPROVED, State.CHANGES_ASKED}


def item_cvi(ratings: Sequence[int]) -> float | None:
    """Item content-validity index: the share of raters who gave 3 or 4 (Lynn 1986); None without raters."""
    return sum(rating >= 3 for rating in ratings) / len(ratings) if ratings else None


def scale_cvi(ratings: Mapping[str, Sequence[int]]) -> float | None:
    """S-CVI/Ave: the mean of the item indices (Polit & Beck 2006); None when an item has no rater."""
    items = [item_cvi(values) for values in ratings.values()]
    return None if not items or None in items else sum(items) / len(items)


@dataclass(frozen=True)
class Agreement:
    """kappa with a 95 % interval from n_subjects; None where it cannot be said, and `why` says so."""

    n_subjects: int
    kappa: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


def fleiss_kappa(table: Sequence[Sequence[int]]) -> float | None:
    """Agreement beyond chance of a fixed number of raters (Fleiss 1971, Psychological Bulletin 76:378).

    table: (N, k) how many of n raters put subject i into category j; every row sums to the same n >= 2.
    Returns None when all ratings fall into one category: chance agreement is then complete.
    Raises ValueError for an empty table or rows of differing sums.
    """
    raters = {sum(row) for row in table}
    if len(raters) != 1 or (n := raters.pop()) < 2:
        raise ValueError("every subject needs the same number of raters, two at least")
    observed = sum((sum(x * x for x in row) - n) / (n * (n - 1)) for row in table) / len(table)
    shares = [sum(column) / (n * len(table)) for column in zip(*table, strict=True)]
    chance = sum(p * p for p in shares)
    return None if chance == 1 else (observed - chance) / (1 - chance)


def agreement(table: Sequence[Sequence[int]]) -> Agreement:
    """Fleiss' kappa over 20 or more subjects with its 95 % interval, by the jackknife over subjects."""
    n = len(table)
    if n < KAPPA_ACTIVITIES_LEAST:
        return Agreement(n, why=f"too few: {n} of {KAPPA_ACTIVITIES_LEAST} activities with two reviews")
    whole = fleiss_kappa(table)
    without = [fleiss_kappa([*table[:i], *table[i + 1 :]]) for i in range(n)]
    if whole is None or None in without:
        return Agreement(n, why="all ratings are the same: agreement beyond chance cannot be told")
    middle = sum(without) / n
    se = ((n - 1) / n * sum((k - middle) ** 2 for k in without)) ** 0.5
    reach = NormalDist().inv_cdf(0.975) * se
    return Agreement(n, whole, max(whole - reach, -1.0), min(whole + reach, 1.0))
