"""E5: fusion strategies on people never seen, and what is known of a person after some labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emotion.bench import Place
from emotion.bench import fusion_data as sources
from emotion.bench import fusion_simulation as simulation
from emotion.bench.cells import Cell
from emotion.fusion import STRATEGIES
from emotion.fusion import protocol as protocols
from emotion.fusion.posteriors import Table
from emotion.fusion.report import report as figures_of

DATA: dict[str, Callable[[Path], Table]] = {
    "ravdess": sources.ravdess,
    "crema-d intended": lambda data: sources.crema_d(data, "intended"),
    "crema-d audiovisual": lambda data: sources.crema_d(data, "audiovisual"),
    "mosi test videos": sources.mosi,
}
# Videos of MOSI have about 23 utterances; votes of 74 actors are many, so that few shuffles do.
PROTOCOL: dict[str, dict[str, Any]] = {
    "mosi test videos": {"known": (0, 5), "warm_up": 5},
    "crema-d intended": {"shuffles": 5, "known": (0, 20)},
    "crema-d audiovisual": {"shuffles": 5, "known": (0, 20)},
}
SIMULATIONS: dict[str, Callable[[int], dict[str, float]]] = {
    "better of .80/.60 after 20": lambda seed: simulation.better_found(0.8, 0.6, 20, seed),
    "better of .80/.70 after 20": lambda seed: simulation.better_found(0.8, 0.7, 20, seed),
    "better of .80/.70 after 60": lambda seed: simulation.better_found(0.8, 0.7, 60, seed),
    "stated certainty after 20": lambda seed: simulation.stated_certainty(20, seed),
    "corrections as prompts, .80/.60": lambda seed: simulation.corrections_agree(0.8, 0.6, seed),
}
FIGURES = ("accuracy", "accuracy_interval_95", "uar", "uar_interval_95", "macro_f1", "ece", "log_loss")


def cells(quick: bool) -> list[Cell]:
    fusion = [
        Cell("E5", name, data, minutes=_minutes(name, data))
        for data in (["ravdess"] if quick else DATA)
        for name in STRATEGIES
    ]
    return fusion + [Cell("E5", name, "simulated people", minutes=0.2) for name in SIMULATIONS]


def _minutes(name: str, data: str) -> float:
    return (3.0 if name in ("best_modality", "stacked") else 0.5) * (4 if "crema" in data else 1)


def work(cell: Cell, place: Place) -> dict[str, Any]:
    if cell.data == "simulated people":
        return dict(SIMULATIONS[cell.method](cell.seed))
    table = DATA[cell.data](place.data)
    chosen = {name: STRATEGIES[name] for name in {cell.method, "product"}}
    outcome = protocols.run(table, strategies=chosen, **PROTOCOL.get(cell.data, {}))
    found = figures_of(table, outcome)
    by_k = {
        k: {name: row[name] for name in FIGURES} | {"to_product": row["difference_to_product"]}
        for k, row in found["strategies"][cell.method].items()
    }
    return {"people": found["people"], "too_short": len(found["people_too_short"]), "n": found["n"], "by_k": by_k}


def report(lines: Sequence[dict[str, Any]], total: int, out: Path) -> str:
    """Tables in Markdown, and `fusion.svg` in `out`."""
    parts = [f"{len(lines)} of {total} cells"]
    for data in DATA:
        mine = [line for line in lines if line["data"] == data]
        if mine:
            parts.append(_table(data, mine))
    simulated = [line for line in lines if line["data"] == "simulated people"]
    parts.append("\n".join(["| simulated people | result |", "|---|---|", *map(_simulated, simulated)]))
    ravdess = [line for line in lines if line["data"] == "ravdess"]
    if ravdess:
        _draw(ravdess, out / "fusion.svg")
    return "\n\n".join(parts)


def _table(data: str, lines: Sequence[dict[str, Any]]) -> str:
    ks = list(lines[0]["by_k"])
    head = [f"{data}, {lines[0]['people']} people", *[f"k = {k}" for k in ks], "to product at the last k", "ECE there"]
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for line in sorted(lines, key=lambda x: -x["by_k"][ks[-1]]["accuracy"]):
        last = line["by_k"][ks[-1]]
        low, high = last["to_product"]["accuracy_interval_95"]
        cells = [f"{100 * line['by_k'][k]['accuracy']:.1f}" for k in ks]
        gain = f"{100 * last['to_product']['accuracy']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        rows.append(f"| `{line['method']}` | {' | '.join(cells)} | {gain} | {last['ece']:.3f} |")
    return "\n".join(rows)


def _simulated(line: dict[str, Any]) -> str:
    names = ("found", "stated", "true", "ece", "same", "corrections_each", "people")
    return f"| {line['method']} | {', '.join(f'{n} {line[n]:.3g}' for n in names if n in line)} |"


def _draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for line in sorted(lines, key=lambda x: -list(x["by_k"].values())[-1]["accuracy"]):
        ks = [int(k) for k in line["by_k"]]
        ours = line["method"] == "best_modality"
        values = [100 * row["accuracy"] for row in line["by_k"].values()]
        axes.plot(ks, values, label=line["method"], linewidth=3 if ours else 1.2, marker="o" if ours else "")
    axes.set(xlabel="labels known of the person (k)", ylabel="accuracy, %", xticks=[0, 5, 10, 20])
    axes.set_title("RAVDESS, 20 people never seen, 8 classes", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)
