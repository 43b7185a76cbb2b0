"""Judge all strategies online, on people they have never seen (bench E5).

For every person the clips are shuffled `SHUFFLES` times with seeds. A strategy has seen the labels of the first
k clips and is scored on the clips after the `WARM_UP`th only, whatever k is, so that all k are compared on the
same clips. What holds for everybody is learnt from other people alone. A person with `WARM_UP` clips or
fewer has none to score: they help to make the population and are named in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from emotion.fusion.fuse import STRATEGIES
from emotion.fusion.posteriors import BadPosteriors, Table
from emotion.fusion.strategy import Strategy, rows

SHUFFLES = 20
WARM_UP = 20
KNOWN = (0, 5, 10, 20)

Heard = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictions:
    """Of one strategy and k, a row per scored clip of every shuffle: n rows, K classes.

    row: (n,) row number in the table.  shuffle: (n,).  probabilities: (n, K).
    """

    row: np.ndarray
    shuffle: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """predictions: by strategy and k.  too_short: people that could not be scored."""

    predictions: dict[tuple[str, int], Predictions]
    too_short: list[str]
    scored: list[str]


def run(
    table: Table,
    population: Table | None = None,
    *,
    strategies: Mapping[str, type[Strategy]] = STRATEGIES,
    known: tuple[int, ...] = KNOWN,
    warm_up: int = WARM_UP,
    shuffles: int = SHUFFLES,
    heard: Heard | None = None,
) -> Outcome:
    """population: other people to learn from; without it the other people of the table. Raises BadPosteriors."""
    everybody, counts = np.unique(table.people, return_counts=True)
    scored = [str(p) for p in everybody[counts > warm_up]]
    if not scored:
        raise BadPosteriors(f"nobody has more than {warm_up} clips, so there is nothing to score")
    parts: dict[tuple[str, int], list[Predictions]] = {(name, k): [] for name in strategies for k in known}
    fitted: dict[str, Strategy] | None = None
    for number, person in enumerate(scored):
        others = _others(table, population, person)
        if fitted is None or population is None or person in population.people:
            fitted = {name: _fitted(kind, others) for name, kind in strategies.items()}
        mine = np.flatnonzero(table.people == person)
        for name, strategy in fitted.items():
            for k, found in _online(table, mine, strategy, known, warm_up, shuffles):
                parts[name, k].append(found)
        if heard:
            heard(number + 1, len(scored))
    joined = {key: _joined(found) for key, found in parts.items()}
    return Outcome(joined, [str(p) for p in everybody[counts <= warm_up]], scored)


def _others(table: Table, population: Table | None, person: str) -> Table:
    """Everybody else: of the population file if there is one. The person's own rows never count."""
    source = table if population is None else population
    if source.classes != table.classes and set(source.classes) != set(table.classes):
        raise BadPosteriors("the population has other classes")
    if not set(table.posteriors) <= set(source.posteriors):
        raise BadPosteriors("the population lacks a modality")
    others = source.take(source.people != person)
    if not len(others.truth):
        raise BadPosteriors(f"there are no other people to learn the population from for person {person!r}")
    for modality in table.posteriors:
        if np.isnan(others.posteriors[modality][:, 0]).all():
            raise BadPosteriors(f"the population has no {modality} at all")
    return _in_order(others, table)


def _in_order(others: Table, table: Table) -> Table:
    """The population with the classes and modalities of the table, in its order."""
    order = [others.classes.index(c) for c in table.classes]
    number = np.argsort(order)
    posteriors = {m: others.posteriors[m][:, order] for m in table.posteriors}
    return Table(table.classes, posteriors, number[others.truth], others.people, others.clips)


def _fitted(kind: type[Strategy], others: Table) -> Strategy:
    return kind(others.classes).fit(others.posteriors, others.truth, others.people)


def _online(
    table: Table, mine: np.ndarray, strategy: Strategy, known: tuple[int, ...], warm_up: int, shuffles: int
) -> Iterator[tuple[int, Predictions]]:
    """Yield per k what the strategy said after k labels. mine: (m,) rows of one person."""
    readings = {int(i): rows(table.posteriors, i) for i in mine}
    fixed = None if strategy.personal else {i: strategy.pool(r) for i, r in readings.items()}
    for shuffle in range(shuffles):
        order = np.random.default_rng(shuffle).permutation(mine)
        later, person = order[warm_up:], strategy.start()
        for k in range(max(known) + 1):
            if k in known:
                said = [fixed[int(i)] if fixed else strategy.pool(readings[int(i)], person) for i in later]
                yield k, Predictions(later, np.full(len(later), shuffle), np.array(said))
            if k < max(known):
                person = strategy.learn(person, readings[int(order[k])], int(table.truth[order[k]]))


def _joined(parts: list[Predictions]) -> Predictions:
    columns = ([getattr(p, name) for p in parts] for name in ("row", "shuffle", "probabilities"))
    return Predictions(*(np.concatenate(column) for column in columns))
