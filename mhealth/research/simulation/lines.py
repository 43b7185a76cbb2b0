"""Results of a simulation, a line of JSON each: what stands there is not computed again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from scipy import stats

from mhealth.research.analysis.effects import wilson
from mhealth.research.simulation.direct import ALPHA, LEVEL, Tally
from mhealth.research.simulation.generator import Recipe

BATCH = 100  # data sets a line


@dataclass(frozen=True)
class Cell:
    """kind: "lists" (n lists from seed `first`), "data sets" (n of them) or "played" (one, of seed `first`)."""

    kind: str
    recipe: Recipe
    first: int
    n: int

    @property
    def key(self) -> dict:
        return {"kind": self.kind, **asdict(self.recipe), "first": self.first, "n": self.n}


def cells(recipe: Recipe, n_played: int, n_data_sets: int, n_lists: int) -> list[Cell]:
    """Cheapest first. The data sets once without an effect, for the type-1 error, and once with it."""
    nothing = Recipe(recipe.people, 0.0, recipe.attrition, recipe.correlation)
    found = [Cell("lists", recipe, 0, n_lists)] if n_lists else []
    for each in dict.fromkeys((nothing, recipe)):
        starts = range(0, n_data_sets, BATCH)
        found += [Cell("data sets", each, start, min(BATCH, n_data_sets - start)) for start in starts]
    return found + [Cell("played", recipe, seed, 1) for seed in range(n_played)]


def stored(path: Path) -> list[dict]:
    """Lines that are whole; the last one of an interrupted run may not be."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def of(cell: Cell, lines: list[dict]) -> dict | None:
    return next((line for line in lines if cell.key.items() <= line.items()), None)


def append(path: Path, line: dict) -> None:
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        text = file.read()
        file.write(("" if not text or text.endswith("\n") else "\n") + json.dumps(line) + "\n")


def expected_power(recipe: Recipe) -> float:
    """Of an ANCOVA without strata: noncentral t (Borm et al. 2007, J Clin Epidemiol 60:1234)."""
    n = round(recipe.people / 2 * (1 - recipe.attrition))
    df = 2 * n - 3
    shift = recipe.effect * (n / 2) ** 0.5 / (1 - recipe.correlation**2) ** 0.5
    edge = stats.t.ppf(1 - ALPHA / 2, df)
    return float(stats.nct.sf(edge, df, shift) + stats.nct.cdf(-edge, df, shift))


def summary(recipe: Recipe, lines: list[dict]) -> list[str]:
    """What the lines of this recipe say, a sentence each."""
    nothing = Recipe(recipe.people, 0.0, recipe.attrition, recipe.correlation)
    said = []
    for each in dict.fromkeys((nothing, recipe)):
        tally = _tally(each, lines)
        if tally.n:
            said += _of_data_sets(each, tally)
    played = _of("played", recipe, lines)
    if played:
        same = sum(line["same"] and line["exported_as_generated"] and line["allocated_as_listed"] for line in played)
        rejected, covered = (sum(line[name] for line in played) for name in ("rejected", "covered"))
        seconds = sum(line["seconds"] for line in played)
        said.append(
            f"through the services: {same} of {len(played)} trials are the same in the report as in the generator"
        )
        said.append(f"through the services: {rejected} rejected, {covered} intervals hold the truth, {seconds:.0f} s")
    for line in _of("lists", recipe, lines):
        said.append(
            f"{line['lists']:,} lists of {line['slots']}: arms never more than {line['largest_difference']} people "
            f"apart, first arm {line['share_first_arm']:.4f}, next arm guessed {line['guessed_right']:.4f}"
        )
    return said


def _of_data_sets(recipe: Recipe, tally: Tally) -> list[str]:
    rejected, covered = tally.rejected / tally.n, tally.covered / tally.n
    what = "power" if recipe.effect else "type-1 error"
    low, high = tally.rejected_between
    target = f"expected {expected_power(recipe):.3f}" if recipe.effect else _holds(low, ALPHA, high)
    low_covered, high_covered = wilson(tally.covered, tally.n, LEVEL)
    head = f"effect {recipe.effect:g}, {tally.n:,} data sets, {tally.completers / tally.n / 2:.1f} completers per arm"
    return [
        f"{head}: {what} {rejected:.4f} ({low:.4f} to {high:.4f}, {target})",
        f"{head}: coverage {covered:.4f} ({low_covered:.4f} to {high_covered:.4f}, "
        f"{_holds(low_covered, 1 - ALPHA, high_covered)}), mean estimate {tally.mean:.3f}",
    ]


def _holds(low: float, target: float, high: float) -> str:
    return f"{'holds' if low <= target <= high else 'MISSES'} {target:g}"


def _tally(recipe: Recipe, lines: list[dict]) -> Tally:
    names = asdict(Tally())
    found = [Tally(**{name: line["tally"][name] for name in names}) for line in _of("data sets", recipe, lines)]
    return sum(found, Tally())


def _of(kind: str, recipe: Recipe, lines: list[dict]) -> list[dict]:
    return [line for line in lines if {"kind": kind, **asdict(recipe)}.items() <= line.items()]
