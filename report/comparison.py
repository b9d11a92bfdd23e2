"""The table of a comparison of learning rules, from what its runs have left on disk.

    print(write_comparison(Path("results/compare_digits/cpu-2026-11-25/Runs-1")))

Writes comparison.csv (mean and standard deviation of every measure), comparison.md, comparison.html
and results.npz (what plotFunctions.plot_comparison draws) beside summary.csv.
"""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drawing.compared import comparisons
from drawing.reading import numbers, read_arrays, read_table
from errors import RunError
from options.defaults import ENDLESS
from records.names import METRICS, PLAN, SUMMARY
from records.writing import write_whole
from report.experiments import Spread, spread_over
from report.figures import Drawing, FigureGroup, drawn
from report.page import Cell, Column, Table, html_of, markdown_table
from runFolder import RunFolder

COMPARISON = "comparison.json"
TEMPLATE = Path(__file__).resolve().parent / "comparison.html.jinja"
TO_ERROR = 5.0  # %
FAILED = "failed: "


class Measured(NamedTuple):
    """A column of the table."""

    name: str  # in comparison.csv
    title: str
    digits: int
    unit: str = ""
    spread: bool = True  # differs between seeds: mean ± standard deviation


COLUMNS = (
    Measured("test_error", "Test error", 2, "%"),
    Measured("train_error", "Training error", 2, "%"),
    Measured("epochs", "Epochs", 0, spread=False),
    Measured("epochs_to_error", "Epochs to {to_error:g} %", 1),
    Measured("products", "Products per sample", 1),
    Measured("seconds", "Seconds", 0),
    Measured("stored_values", "Stored values per sample", 0, spread=False),
    Measured("parameters", "Parameters", 0, spread=False),
    Measured("cosine_start", "Cosine, start", 3),
    Measured("cosine_end", "Cosine, end", 3),
    Measured("sweeps", "Sweeps", 1),
    Measured("residual", "Residual", 4),
)
LEGEND = (
    "Mean ± standard deviation (denominator n - 1) over n seeds, of what the last epoch left. All "
    "contestants see the same samples in the same order. Training error: met while learning, each "
    "batch before its update. Products: passes through all weights per training sample, those of "
    "one forward pass being 1. Stored values: numbers that must be kept of a sample while it is "
    "learnt. Cosine: between what the rule adds to the weights and the way down the loss by the "
    "exact gradient, for the first and for the last weights: that of the network at rest, for "
    "BrainProp that of backpropagation. Sweeps of a free phase, and how far the worst sample was "
    "from rest. -: not defined, or not measured."
)


class Group(NamedTuple):
    """The runs of a contestant on a data set, at one value of what was swept."""

    dataset: str
    contestant: str
    rule: str
    source: str
    options: str
    swept: dict[str, str]
    values: dict[str, list[float]]  # of each measure, a number per seed that has ended well
    curves: np.ndarray  # (2, seeds, epochs): test and training error; NaN: not tested, or not there
    failures: list[str]  # why the others have not

    @property
    def n(self) -> int:
        return len(self.values["test_error"])

    def spread(self, name: str) -> Spread:
        return spread_over(self.values[name])


def write_comparison(folder: Path, to_error: float | None = None) -> str:
    """Write the tables, the page and the arrays of the figures; return the table for people.

    Args:
        to_error: in %, of the column of epochs; None: as it was asked for, or else 5.
    Raises:
        RunError: the folder holds no comparison, or cannot be written.
    """
    record = read_comparison(folder)
    if to_error is None:
        to_error = record["options"].get("to_error")
    to_error = TO_ERROR if to_error is None else to_error
    groups = groups_of(folder, record, to_error)
    write_whole(folder / "comparison.csv", csv_of(groups, to_error).encode())
    said, problems = sentences(folder, record), problems_of(groups, record)
    text = markdown_of(groups, said, to_error, problems)
    write_whole(folder / "comparison.md", text.encode())
    arrays = arrays_of(groups)
    RunFolder(folder).write_arrays(arrays)
    page = Page(said, tables_of(groups, to_error), figures_of(folder, arrays), problems)
    write_whole(folder / "comparison.html", html_of(page, TEMPLATE, LEGEND).encode())
    return f"{text}\n{folder / 'comparison.html'}\n"


def read_comparison(folder: Path) -> dict[str, Any]:
    path = folder / COMPARISON
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as a comparison ({error})") from None


def groups_of(folder: Path, record: dict[str, Any], to_error: float) -> list[Group]:
    """What was measured of each contestant, in the order of the plan."""
    found: dict[tuple, list[dict[str, str]]] = {}
    for row in read_table(folder / SUMMARY):
        names = list(row)
        swept = tuple(
            (k, row[k]) for k in names[names.index("contestant") + 1 : names.index("seed")]
        )
        found.setdefault((row["dataset"], row["contestant"], swept), []).append(row)
    about = {(one["dataset"], one["contestant"]): one for one in record["entries"]}
    return [
        group_of(folder, rows, about[key[:2]], dict(key[2]), to_error)
        for key, rows in found.items()
    ]


def group_of(
    folder: Path, rows: list[dict[str, str]], about: dict, swept: dict, to_error: float
) -> Group:
    """What the runs of a contestant have measured."""
    done = [row for row in rows if row["status"] == "done"]
    values: dict[str, list[float]] = {column.name: [] for column in COLUMNS}
    curves = []
    for row in done:
        metrics, arrays = (
            read_table(folder / row["run"] / METRICS),
            read_arrays(folder / row["run"]),
        )
        for name, value in measures_of(metrics, arrays, to_error).items():
            values[name].append(value)
        curves.append([numbers(metrics, "test_error"), numbers(metrics, "train_error")])
    reasons = [r["status"].removeprefix(FAILED) for r in rows if r["status"].startswith(FAILED)]
    known = ("dataset", "contestant", "rule", "source", "options")
    return Group(*(about[k] for k in known), swept, values, padded(curves), reasons)


def padded(curves: list) -> np.ndarray:
    """(2, seeds, epochs) of runs that may have ended after different epochs."""
    length = max((len(test) for test, _ in curves), default=0)
    table = np.full((2, len(curves), length), np.nan)
    for k, pair in enumerate(curves):
        table[:, k, : len(pair[0])] = pair
    return table


def measures_of(
    metrics: list[dict[str, str]], arrays: dict[str, np.ndarray], to_error: float
) -> dict[str, float]:
    """The columns of the table of one run; NaN for what it has not measured."""
    method, tested = metrics[0]["method"], numbers(metrics, "test_error")
    epochs = numbers(metrics, "epoch")

    def mean_of(name: str) -> float:
        values = arrays.get(f"{method}_{name}")
        return math.nan if values is None else float(values.mean())

    cosine = arrays.get(f"{method}_gradient_cosine", np.full(2, np.nan))
    reached = epochs[tested <= to_error]
    products = numbers(metrics, "products")
    products = products[np.isfinite(products)]  # of the epochs in which they were counted
    return {
        "test_error": float(tested[np.isfinite(tested)][-1]),
        "train_error": float(numbers(metrics, "train_error")[-1]),
        "epochs": float(epochs[-1]),
        "epochs_to_error": float(reached[0]) if len(reached) else math.nan,
        "products": float(products.mean()) if len(products) else math.nan,
        "seconds": float(numbers(metrics, "seconds").sum()),
        "stored_values": mean_of("stored_values"),
        "parameters": mean_of("parameters"),
        "cosine_start": float(cosine[0]),
        "cosine_end": float(cosine[1]),
        "sweeps": mean_of("sweeps_free"),
        "residual": mean_of("residual_free_worst"),
    }


# The table ---------------------------------------------------------------------------------------


def csv_of(groups: list[Group], to_error: float) -> str:
    """A line per contestant, unrounded."""
    swept = list(groups[0].swept) if groups else []
    names = ["dataset", "contestant", "rule", *swept, "n"]
    for column in COLUMNS:
        names += [column.name, f"{column.name}_sd"] if column.spread else [column.name]
    names += ["to_error", "reached", "failed", "source", "options"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for group in groups:
        row = {"dataset": group.dataset, "contestant": group.contestant, "rule": group.rule}
        row |= group.swept | {"n": group.n, "failed": "; ".join(dict.fromkeys(group.failures))}
        row |= {"to_error": f"{to_error:g}", "reached": group.spread("epochs_to_error").known}
        row |= {"source": group.source, "options": group.options}
        for column in COLUMNS:
            spread = group.spread(column.name)
            if spread.known:
                row[column.name] = f"{spread.mean:.6g}"
            if column.spread and spread.known > 1:
                row[f"{column.name}_sd"] = f"{spread.std:.3g}"
        writer.writerow(row)
    return text.getvalue()


def tables_of(groups: list[Group], to_error: float) -> list[tuple[str, Table]]:
    """A table for each data set, with its name; contestants as their file has them."""
    tables = []
    for dataset in dict.fromkeys(group.dataset for group in groups):
        own = [group for group in groups if group.dataset == dataset]
        swept = list(own[0].swept)
        known = {c.name for c in COLUMNS if any(g.spread(c.name).known for g in own)}
        shown = [c for c in COLUMNS if c.name in known | {"epochs_to_error"}]
        titles = ["Contestant", "Rule", *(name.replace("_", " ") for name in swept), "n"]
        titles += [c.title.format(to_error=to_error) + f" ({c.unit})" * bool(c.unit) for c in shown]
        rows = [
            [
                Cell(group.contestant, note=group.source, words=True),
                Cell(group.rule),
                *(Cell(group.swept[name]) for name in swept),
                Cell(str(group.n)),
                *(cell_of(group, column) for column in shown),
            ]
            for group in own
            if group.n
        ]
        tables.append((dataset, Table([Column(title) for title in titles], rows)))
    return tables


def cell_of(group: Group, column: Measured) -> Cell:
    """A measure for people: mean ± standard deviation, and of how many seeds if not of all."""
    spread = group.spread(column.name)
    if not spread.known:
        never = column.name == "epochs_to_error" and group.n
        return Cell("never" if never else "-")
    text = f"{spread.mean:,.{column.digits}f}"
    if column.spread and spread.known > 1:
        text += f" ± {spread.std:,.{column.digits}f}"
    if column.name == "epochs_to_error" and spread.known < group.n:
        text += f" ({spread.known} of {group.n})"
    return Cell(text)


def sentences(folder: Path, record: dict[str, Any]) -> list[str]:
    """What was compared: data, seeds and budget; and whether all of it has been done."""
    options = record["options"]
    first, n = options["seed"], options["trials"]
    budget = f"{options['epochs']:,} epochs"
    if options.get("minutes"):
        most = f"{options['minutes']:g} minutes of training each"
        budget = most if options["epochs"] >= ENDLESS else f"{budget}, {most} at most"
    seeds = f"seeds {first} to {first + n - 1}" if n > 1 else f"seed {first}"
    said = [f"{', '.join(options['datasets'])}; {budget}; {seeds}."]
    if options.get("train_samples"):
        said.append(f"{options['train_samples']:,} training samples, drawn with the seed.")
    planned = len(json.loads((folder / PLAN).read_text(encoding="utf-8")))
    missing = planned - len({row["run"] for row in read_table(folder / SUMMARY)})
    if missing:
        said.append(f"{missing} of {planned} runs are not done yet: --resume goes on.")
    return said


def problems_of(groups: list[Group], record: dict[str, Any]) -> list[tuple[Cell, str]]:
    """Who has failed, who takes no part, and why."""
    found = [
        (Cell(f"{name_of(group)} on {group.dataset}"), f"failed: {reason}")
        for group in groups
        for reason in dict.fromkeys(group.failures)
    ]
    for one in record.get("left_out", ()):
        values = f" at {one['values']}" * bool(one["values"])
        who = f"{one['contestant']} on {one['dataset']}{values}"
        found.append((Cell(who), f"left out: {one['reason']}"))
    return found


def name_of(group: Group) -> str:
    return ", ".join([group.contestant, *(f"{k} {v}" for k, v in group.swept.items())])


def markdown_of(
    groups: list[Group], said: list[str], to_error: float, problems: list[tuple[Cell, str]]
) -> str:
    """The tables, what was compared, and what is not in them."""
    lines = [" ".join(said), ""]
    for dataset, table in tables_of(groups, to_error):
        lines += [f"**{dataset}**", "", *markdown_table(table), ""]
    lines += [LEGEND]
    if problems:
        lines += ["", "Not in the table:", "", *(f"- {who.text}: {why}" for who, why in problems)]
    return "\n".join(lines) + "\n"


def arrays_of(groups: list[Group]) -> dict[str, np.ndarray]:
    """What the figures are drawn from: a row per contestant and data set; NaN: nothing there.

    compared_test_error, compared_products: (rows, seeds). compared_curves: (rows, 2, seeds,
    epochs), test and training error. The others are texts, (rows,).
    """
    groups = [group for group in groups if group.n]
    n, epochs = (
        max((g.n for g in groups), default=0),
        max((g.curves.shape[2] for g in groups), default=0),
    )
    table = {name: np.full((len(groups), n), np.nan) for name in ("test_error", "products")}
    curves = np.full((len(groups), 2, n, epochs), np.nan)
    for k, group in enumerate(groups):
        for name, values in table.items():
            values[k, : group.n] = group.values[name]
        curves[k, :, : group.n, : group.curves.shape[2]] = group.curves
    names = {"contestant": [g.contestant for g in groups], "rule": [g.rule for g in groups]}
    names |= {"dataset": [g.dataset for g in groups]}
    swept = list(groups[0].swept) if groups else []
    names |= {name: [g.swept[name] for g in groups] for name in swept}
    found = {f"compared_{name}": values for name, values in table.items()}
    found |= {f"compared_{name}": np.array(texts) for name, texts in names.items()}
    return found | {"compared_curves": curves, "compared_swept": np.array(swept, dtype=str)}


# The page ----------------------------------------------------------------------------------------


class Page(NamedTuple):
    said: list[str]
    tables: list[tuple[str, Table]]
    figures: list[FigureGroup]
    problems: list[tuple[Cell, str]]


def figures_of(folder: Path, arrays: dict[str, np.ndarray]) -> list[FigureGroup]:
    """The figures that plotFunctions.plot_comparison puts into the folder, drawn."""
    found = []
    for one in comparisons(arrays):
        drawing = Drawing("", one.about, one.draw, one.size)
        group = FigureGroup(one.title, one.caption, folder, [drawing])
        if shown := drawn(group, one.name):
            found.append(group._replace(shown=shown))
    return found
