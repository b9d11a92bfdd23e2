"""Figures from a result folder: `python plotFunctions.py` inside one draws all it has data for.

Imports nothing of the project, so that the copy in a result folder runs alone. `draw_*` puts
numbers on axes; `plot_*` reads them from a folder and writes the figure.
"""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]  # of results.npz
Rows = list[dict[str, str]]  # of a CSV file

BLUE, RED, ORANGE, GREEN = "#1f77b4", "#d62728", "#e07b00", "#2f9e44"
# Of rules: blue is a local one (orange another one), red follows the gradient itself.
COLOURS = {"EP": BLUE, "DEEP": BLUE, "asymEP": ORANGE, "BrainProp": BLUE, "BPTT": RED, "EBP": RED}
STYLES = {"train": "--", "test": "-", "validation": ":"}  # of curves, by the data
POSITIVE, NEGATIVE, SIGNED = BLUE, RED, "RdBu"  # of weights: colours, and the map between them
NEURONS = {"input": "#a6cee3", "one": "#eeeeee", "hidden": "#fdbf6f", "output": "#b2df8a"}
COLUMNS = {"input": 0.0, "one": 0.0, "hidden": 1.0, "output": 2.0}  # where they stand in a graph
MISMATCH = {"S": "#4c72b0", "T": "#dd8452"}  # of neurons and of synapses
NEURONS_UNIT = r"$\nabla^{BPTT}_s$, $-\Delta^{EP}_s$ (loss per unit of $s$)"
SYNAPSES_UNIT = r"$\nabla^{BPTT}_W$, $-\Delta^{EP}_W$ (loss per unit of $W$"
PANEL = (3.4, 2.9)  # inches
WIDE = 10.0  # from the lowest to the highest error that a linear axis shows
METRICS, SUMMARY = "metrics.csv", "summary.csv"


def colour_of(method: str) -> str:
    """The colour of a training method, the same in every figure."""
    return COLOURS.get(method, GREEN)


def read_table(path: Path) -> Rows:
    """The rows of a CSV file, none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_arrays(folder: Path) -> Arrays:
    """The arrays of results.npz, none if there is no such file."""
    path = folder / "results.npz"
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def by_method(rows: Rows) -> dict[str, Rows]:
    """The rows of each method, in their order."""
    groups: dict[str, Rows] = {}
    for row in rows:
        groups.setdefault(row["method"], []).append(row)
    return groups


def numbers(rows: Rows, name: str) -> np.ndarray:
    """A column, (rows,)."""
    return np.array([float(row[name]) for row in rows])


def unit_of(folder: Path) -> str:
    """Of a run's errors."""
    return str(read_arrays(folder).get("error_unit", "%"))


def new_figure(layout: str | None = "constrained", **size):
    """A figure that needs no display."""
    from matplotlib.figure import Figure

    return Figure(layout=layout, **size)


def save(figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF, each beside its place first; return the paths."""
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        drawn = io.BytesIO()
        figure.savefig(drawn, format=path.suffix[1:], dpi=150)
        part = path.with_name(path.name + ".part")
        part.write_bytes(drawn.getvalue())
        os.replace(part, path)
    return paths


def methods_with(arrays: Arrays, name: str) -> list[str]:
    """The methods that have recorded an array of this name."""
    found = [key[: -len(name) - 1] for key in arrays if key.endswith(f"_{name}")]
    return [method for method in found if "_" not in method]


def plot_panels(folder: Path, name: str) -> list[Path]:
    """A figure with a panel for every method and measure that has been recorded."""
    measures, draw = PANELS[name]
    arrays = read_arrays(folder)
    subjects = [(m, measure) for m in methods_with(arrays, measures[0]) for measure in measures]
    if not subjects:
        return []
    figure = new_figure(figsize=(0.5 + 4.4 * len(subjects), 3.7))
    row = figure.subplots(1, len(subjects), squeeze=False, sharey=True)[0]
    for axes, (method, measure) in zip(row, subjects, strict=True):
        draw(axes, arrays, method, measure)
        axes.set_ylabel(axes.get_ylabel() if axes is row[0] else "")
    return save(figure, folder, name)


def plot_each(folder: Path, name: str) -> list[Path]:
    """A figure for every method that has recorded what is drawn."""
    array, size, draw = EACH[name]
    arrays, written = read_arrays(folder), []
    for method in methods_with(arrays, array):
        figure = new_figure(figsize=size)
        draw(figure, arrays, method)
        written += save(figure, folder, f"{name}_{method}")
    return written


def legend(axes, title: str = "", where: str = "best", fontsize: int = 8) -> None:
    """A legend inside the axes, or beside them on the right."""
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    place = beside if where == "right" else {"loc": where}
    axes.legend(title=title or None, frameon=False, fontsize=fontsize, **place)


def whole_numbers(axes, label: str) -> None:
    """An x axis of counted things."""
    axes.set_xlabel(label)
    axes.xaxis.get_major_locator().set_params(integer=True)


def show(error: float, unit: str) -> str:
    """An error as people read it."""
    return f"{error:.2f} %" if unit == "%" else f"{error:.4f}"


# Learning curves --------------------------------------------------------------------------------


class Curve(NamedTuple):
    """What is drawn over epochs; of several seeds the mean, in a band of a standard deviation."""

    label: str
    epochs: Sequence[float]  # (n,)
    values: np.ndarray  # (n,) or (seeds, n)
    colour: str | None
    style: str


def draw_learning(axes, curves: list[Curve], label: str, unit: str = "%") -> None:
    """Curves over the epochs; the last value of each is in its label."""
    for name, epochs, values, colour, style in curves:
        table = np.atleast_2d(values)
        mean = table.mean(0)
        dotted = style + "o" if len(mean) < 16 and style in STYLES.values() else style
        (line,) = axes.plot(epochs, mean, dotted, color=colour, ms=3)
        if len(table) > 1:
            std = table.std(0, ddof=1)
            ends = mean - std, mean + std
            axes.fill_between(epochs, *ends, color=line.get_color(), alpha=0.2, lw=0)
        seeds = f", n = {len(table)}" if len(table) > 1 else ""
        line.set_label(f"{name} ({show(mean[-1], unit)}{seeds})")
    whole_numbers(axes, "epoch")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


def curves_of(rows: Rows, name: str = "", colour: str | None = None) -> list[Curve]:
    """The errors of every method: training, test and, if there are such, validation."""
    curves = []
    for method, own in by_method(rows).items():
        shade, epochs = colour or colour_of(method), numbers(own, "epoch")
        for kind, style in STYLES.items():
            if f"{kind}_error" in own[0]:
                label, errors = f"{name}{method} {kind}", numbers(own, f"{kind}_error")
                curves.append(Curve(label, epochs, errors, shade, style))
    return curves


def plot_results(folder: Path) -> list[Path]:
    """Errors per epoch of a run."""
    rows, unit = read_table(folder / METRICS), unit_of(folder)
    return save_errors(folder, "results", curves_of(rows), unit) if rows else []


def plot_below(folder: Path) -> list[Path]:
    """Errors of all runs below a folder that is no run itself; Gammell et al. 2021, fig. 2."""
    if any((folder / name).exists() for name in (METRICS, SUMMARY)):
        return []
    runs = sorted({path.parent for path in folder.glob(f"**/{METRICS}")})
    tables = {run: rows for run in runs if (rows := read_table(run / METRICS))}
    curves = [
        curve
        for k, (run, rows) in enumerate(tables.items())
        for curve in curves_of(rows, f"{run.relative_to(folder)} ", f"C{k % 10}")
    ]
    unit = ", ".join(dict.fromkeys(map(unit_of, tables)))
    return save_errors(folder, "compared", curves, unit) if curves else []


def save_errors(folder: Path, name: str, curves: list[Curve], unit: str) -> list[Path]:
    """A figure of errors over epochs."""
    figure = new_figure(figsize=(6.5, 4.2))
    draw_errors(figure.subplots(), curves, unit)
    legend(figure.axes[0], "last epoch in brackets", fontsize=9 if len(curves) < 6 else 7)
    return save(figure, folder, name)


def draw_errors(axes, curves: list[Curve], unit: str) -> None:
    """On a log axis where the first epochs would press the last ones to the floor."""
    draw_learning(axes, curves, f"error ({unit})", unit)
    means = np.concatenate([np.atleast_2d(curve.values).mean(0) for curve in curves])
    means = means[np.isfinite(means)]
    axes.set_ylim(bottom=0)
    if len(means) and means.max() > WIDE * means.min() > 0:
        axes.set_yscale("log")
        axes.set_ylim(bottom=means.min() / 1.3)
        for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            ticks(plain_number)


def plain_number(value: float, place: int = 0) -> str:
    """A tick of a log axis: 1, 2 and 5 of every decade, as people write them."""
    return f"{value:g}" if f"{value:e}"[0] in "125" else ""


def plot_accuracy(folder: Path) -> list[Path]:
    """Accuracy per epoch of BrainProp and EBP, a star at the epoch whose weights are kept.

    The plot of Pozzi et al. 2020.
    """
    rows = [row for row in read_table(folder / METRICS) if row["method"] in ("BrainProp", "EBP")]
    if not rows:
        return []
    arrays, figure = read_arrays(folder), new_figure(figsize=(7.6, 4.0))
    axes = figure.subplots()
    curves = [curve._replace(values=100 - curve.values) for curve in curves_of(rows)]
    draw_learning(axes, curves, "accuracy (%)")
    for method, own in by_method(rows).items():
        kept = int(arrays.get(f"{method}_kept_epoch", own[-1]["epoch"]))
        height = next(100 - float(row["test_error"]) for row in own if int(row["epoch"]) == kept)
        label, colour = f"{method} kept, epoch {kept} ({height:.2f} %)", colour_of(method)
        axes.plot(kept, height, "*", ms=13, color=colour, mec="k", mew=0.6, label=label)
    legend(axes, "last epoch in brackets;\nstar: the epoch that is kept", "right")
    return save(figure, folder, "accuracy")


# Layer-skipping networks ------------------------------------------------------------------------


def draw_corrections(axes, arrays: Arrays, method: str, measure: str) -> None:
    """Root mean square of what an epoch's batches change, per pair of adjacent layers.

    The measured corrections times the learning rate; Gammell et al. 2021, fig. 3.
    """
    mean = arrays[f"{method}_{measure}"].mean(1) * arrays["lr_tab"]  # (epochs, pairs)
    draw_pairs(axes, np.arange(1, len(mean) + 1), mean)
    whole_numbers(axes, "epoch")
    axes.set_ylabel("RMS correction of a batch")
    spread = arrays[f"{method}_log_spread"][-1]
    axes.set_title(f"{method}, spread of the last epoch {spread:.2f}", fontsize=9)


def draw_pairs(axes, x: np.ndarray, corrections: np.ndarray) -> None:
    """A line per pair of layers on a log axis: (points, pairs) over x (points,)."""
    n_pairs = corrections.shape[1]
    for k in reversed(range(n_pairs)):  # from the data on, as the paper counts
        name = f"W{k}{'x' if k == n_pairs - 1 else k + 1}"
        colour = f"C{n_pairs - 1 - k}"
        axes.plot(x, corrections[:, k], "o-", ms=3, color=colour, label=symbol(name))
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    legend(axes, where="right")


def draw_dW(figure, arrays: Arrays, method: str) -> None:  # noqa: N802
    """Map of mean |dW| over the whole weight matrix, in log colour; Gammell et al. 2021, fig. 5.

    Times the mean rate; links that are not there white.
    """
    from matplotlib.colors import LogNorm

    mask, axes = arrays[f"{method}_mask"], figure.subplots()
    mean = np.where(mask, arrays[f"{method}_mean_dW"], np.nan) * arrays["lr_tab"].mean()
    high = np.nanmax(mean) or 1.0
    shown = np.maximum(mean, high / 1e4)[::-1, ::-1]  # a link that never moved is dark, not white
    norm = LogNorm(high / 1e3, high)
    image = axes.imshow(shown, norm=norm, cmap="viridis", interpolation="nearest")
    figure.colorbar(image, label=r"mean $|\Delta W|$ of a batch", extend="min")
    axes.set_xlabel("neuron, from the data to the output")
    axes.set_ylabel("neuron, from the data to the output")
    axes.set_title(f"{method}, {int(mask.sum() / 2)} links")


# Directed graphs --------------------------------------------------------------------------------


def spread_of(values: np.ndarray, epochs: np.ndarray | None = None) -> np.ndarray:
    """Epoch, minimum, quartiles, maximum and mean over the networks, (epochs, 7).

    Args:
        values: (epochs, ..., networks); NaN or infinite: not known. Epochs of nothing else go.
        epochs: counted from 1; left out: all of them.
    """
    values = np.where(np.isfinite(values), values, np.nan).reshape(len(values), -1)
    epochs = np.arange(1, len(values) + 1) if epochs is None else epochs
    known = ~np.isnan(values).all(1)
    values, epochs = values[known], epochs[known]
    if not values.size:
        return np.empty((0, 7))
    percentile = np.nanpercentile if np.isnan(values).any() else np.percentile  # which is fast
    five = percentile(values, (0, 25, 50, 75, 100), axis=1)
    return np.column_stack([epochs, *five, np.nanmean(values, 1)])


def draw_spread(axes, spread: np.ndarray, colour: str) -> None:
    """Mean, median, quartiles and range over networks, as `spread_of` returns them."""
    epochs, low, first, median, third, high, mean = spread.T
    axes.fill_between(epochs, low, high, color=colour, alpha=0.12, lw=0, label="min to max")
    axes.fill_between(epochs, first, third, color=colour, alpha=0.3, lw=0, label="quartiles")
    axes.plot(epochs, mean, "-", color=colour, lw=1.6, label="mean")
    axes.plot(epochs, median, "--", color="k", lw=1.2, label="median")
    whole_numbers(axes, "epoch")
    axes.grid(alpha=0.3)


def draw_mse(axes, arrays: Arrays, method: str, measure: str) -> None:
    """Mean squared error of a phase over the networks; Tristany Farinha et al. 2020, fig. 1."""
    values = arrays[f"{method}_{measure}"][:, 0]  # (epochs, networks)
    draw_spread(axes, spread_of(values), colour_of(method))
    phase = measure.removeprefix("mse_")
    axes.set_title(f"{method}, {phase} phase, {values.shape[1]} networks", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("MSE, half squared error per pattern")
    legend(axes)


def draw_convergence(axes, arrays: Arrays, method: str, measure: str) -> None:
    """Norm of the last change of the states in the free phase: did the dynamics rest?"""
    values = np.maximum(arrays[f"{method}_{measure}"][:, 0], 1e-17)
    draw_spread(axes, spread_of(values), colour_of(method))
    axes.set_yscale("log")
    axes.set_title(f"{method}, {values.shape[1]} networks", fontsize=9)
    axes.set_ylabel("norm of the last step (below 1e-17: at rest)", fontsize=8)
    legend(axes)


def best_network(arrays: Arrays, method: str) -> int:
    """The sparsest of the networks that have learnt, else the one with the smallest error."""
    learnt = arrays[f"{method}_learnt"]
    if learnt.any():
        return int(np.argmax(np.where(learnt, arrays[f"{method}_final_sparsity"], -1)))
    return int(np.nanargmin(np.nan_to_num(arrays[f"{method}_final_mse"], nan=np.inf)))


def neuron_kinds(arrays: Arrays, method: str) -> list[str]:
    """What each neuron is: an input, the constant one, hidden or an output."""
    n = arrays[f"{method}_W"].shape[1]
    n_in = arrays[f"{method}_patterns"].shape[1]
    n_out = arrays[f"{method}_targets"].shape[1]
    n_x = int((arrays[f"{method}_admissible"].sum(0) == 0).sum())  # nothing leads into an input
    kinds = ["input"] * n_in + ["one"] * (n_x - n_in)
    return kinds + ["hidden"] * (n - n_x - n_out) + ["output"] * n_out


def draw_weights(figure, arrays: Arrays, method: str) -> None:
    """The weight matrix of the best network as a map; connections that are not there white."""
    best, axes = best_network(arrays, method), figure.subplots()
    W, sparsity = arrays[f"{method}_W"][best], arrays[f"{method}_final_sparsity"][best]
    size = np.abs(W).max() or 1.0
    image = axes.imshow(np.where(W != 0, W, np.nan), cmap=SIGNED, vmin=-size, vmax=size)
    figure.colorbar(image, label=r"$W_{ij}$, from $i$ to $j$")
    axes.set_xlabel("to neuron $j$")
    axes.set_ylabel("from neuron $i$")
    title = f"{method}, network {best}, {sparsity:.2f} % sparse\nblue excites, red inhibits"
    axes.set_title(title, fontsize=9)


def draw_best(figure, arrays: Arrays, method: str) -> None:
    """What remains of the best network; Tristany Farinha et al. 2020, fig. 2."""
    best, axes = best_network(arrays, method), figure.subplots()
    W, sparsity = arrays[f"{method}_W"][best], arrays[f"{method}_final_sparsity"][best]
    draw_graph(axes, W, neuron_kinds(arrays, method))
    title = f"{method}, {sparsity:.2f} % sparse, {np.count_nonzero(W)} connections\n"
    axes.set_title(f"{title}blue excites, red inhibits; +1: the constant neuron", fontsize=9)


def draw_graph(axes, W: np.ndarray, kinds: list[str], most: int | None = None) -> None:
    """A directed network: inputs left, outputs right; the stronger a connection the more opaque.

    Args:
        W: (n, n), from row to column; 0: no connection.
        kinds: what each neuron is, as `neuron_kinds` says it.
        most: connections that are drawn, the strongest; left out: all.
    """
    from matplotlib.patches import FancyArrowPatch

    places, radius = node_places(kinds), 11.0  # points
    strength = np.abs(W) / (np.abs(W).max() or 1.0)
    strongest = np.argsort(-strength, axis=None, kind="stable")[: np.count_nonzero(W)][:most]
    for i, j in zip(*np.unravel_index(strongest, W.shape), strict=True):
        arrow = FancyArrowPatch(
            places[i], places[j], arrowstyle="-|>", mutation_scale=10, lw=1.6,
            shrinkA=radius, shrinkB=radius, connectionstyle="arc3,rad=0.12",
            color=POSITIVE if W[i, j] > 0 else NEGATIVE, alpha=0.08 + 0.92 * strength[i, j],
        )  # fmt: skip
        axes.add_patch(arrow)
    x, y = zip(*places, strict=True)
    colours = [NEURONS[kind] for kind in kinds]
    size = (2 * radius) ** 2
    axes.scatter(x, y, s=size, c=colours, ec="k", lw=0.8, zorder=2, clip_on=False)
    for k, (place, kind) in enumerate(zip(places, kinds, strict=True)):
        label = "+1" if kind == "one" else str(k)
        axes.annotate(label, place, ha="center", va="center", fontsize=9, color="#111111")
    axes.margins(0.1)
    axes.axis("off")


def node_places(kinds: list[str]) -> list[tuple[float, float]]:
    """A column of inputs, a zigzag of hidden neurons, a column of outputs; the short ones wider."""
    columns = [COLUMNS[kind] for kind in kinds]
    tallest, places = max(map(columns.count, columns)), []
    for k, (x, kind) in enumerate(zip(columns, kinds, strict=True)):
        before, total = columns[:k].count(x), columns.count(x)
        bend = 0.25 * (before % 2) if kind == "hidden" else 0.0
        places.append((x + bend, ((total - 1) / 2 - before) * max(1.0, 0.6 * tallest / total)))
    return places


def draw_decision(figure, arrays: Arrays, method: str) -> None:
    """Output over the unit square of inputs, of the best network and on average.

    With a contour at 1/2, where the answer changes.
    """
    best, maps = best_network(arrays, method), arrays[f"{method}_decision"]
    patterns, targets = arrays[f"{method}_patterns"], arrays[f"{method}_targets"][:, 0]
    shown = {f"{method}, network {best}": maps[best]}
    shown |= {f"mean of {len(maps)} networks": np.nanmean(maps, 0)}
    for axes, (title, values) in zip(figure.subplots(1, 2), shown.items(), strict=True):
        image = axes.imshow(values, origin="lower", extent=(0, 1, 0, 1), vmin=0, vmax=1)
        side = np.linspace(0, 1, len(values))
        if values.min() < 0.5 < values.max():
            axes.contour(side, side, values, levels=[0.5], colors="w", linewidths=1.5)
        axes.scatter(*patterns.T, c=targets, vmin=0, vmax=1, s=90, edgecolors="r", clip_on=False)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("first input")
        axes.set_ylabel("second input")
    figure.colorbar(image, ax=figure.axes, label="output (dots: what is asked for)")


def draw_angles(figure, arrays: Arrays, method: str) -> None:
    """Angle between the rule's update and the way down the loss, in every epoch."""
    angle, axes = arrays[f"{method}_angle"], figure.subplots()
    draw_angle(axes, np.arange(1, len(angle) + 1), angle, colour_of(method))
    legend(axes, where="upper left")
    axes.set_title(f"{method}, {angle.shape[1]} networks", fontsize=9)


def draw_angle(axes, epochs: np.ndarray, angle: np.ndarray, colour: str) -> None:
    """Degrees (epochs, networks), NaN where the gradient is 0; the share of those on the right."""
    draw_spread(axes, spread_of(angle, epochs), colour)
    axes.axhline(90, color="k", lw=0.8, ls=":")
    axes.set_ylim(0, 180)
    axes.set_yticks(range(0, 181, 30))
    axes.set_ylabel("angle to the way down (degrees)")
    twin = axes.twinx()
    twin.plot(epochs, 100 * np.isnan(angle).mean(1), color=GREEN, lw=1)
    twin.set_ylim(0, 100)
    twin.set_ylabel("networks whose gradient is exactly 0 (%)", color=GREEN, fontsize=8)


# Many runs --------------------------------------------------------------------------------------


def read_summary(folder: Path) -> Rows:
    """The rows of a summary that have a result."""
    return [row for row in read_table(folder / SUMMARY) if row.get("method")]


def swept_options(rows: Rows) -> list[str]:
    """What differs between the runs beside the seed."""
    names = list(rows[0]) if rows else ["run", "seed"]
    return names[1 : names.index("seed")]


def group_of(row: dict[str, str], options: list[str]) -> str:
    """The swept values and the method of a run, as a label."""
    return ", ".join([f"{name} {row[name]}" for name in options] + [row["method"]])


def plot_trials(folder: Path) -> list[Path]:
    """Test error per epoch over the seeds."""
    rows = [row for row in read_summary(folder) if row.get("epochs")]
    options, groups, curves = swept_options(rows), {}, []
    for row in rows:
        own = by_method(read_table(folder / row["run"] / METRICS))[row["method"]]
        errors = numbers(own, "test_error")
        groups.setdefault((group_of(row, options), row["method"]), []).append(errors)
    for k, ((label, method), found) in enumerate(groups.items()):
        length = min(map(len, found))
        table = np.array([errors[:length] for errors in found])  # (seeds, epochs)
        colour = f"C{k % 10}" if options else colour_of(method)
        epochs = np.arange(1, length + 1)
        curves.append(Curve(f"{label} test", epochs, table, colour, STYLES["test"]))
    return save_errors(folder, "trials", curves, unit_of(folder / rows[0]["run"])) if rows else []


class Points(NamedTuple):
    """What is drawn over the values of an option: mean and standard deviation by the value."""

    label: str
    values: dict[str, tuple[float, float]]
    colour: str
    style: str  # as matplotlib writes it: s--


def draw_sweep(axes, option: str, series: list[Points]) -> None:
    """Points with error bars over the values of an option."""
    where = option_axis(axes, option, {text for points in series for text in points.values})
    for points in series:
        known = [text for text in where if text in points.values]
        mean, std = np.array([points.values[text] for text in known]).T
        axes.errorbar(
            [where[text] for text in known], mean, std, fmt=points.style, ms=4, capsize=2,
            color=points.colour, label=points.label,
        )  # fmt: skip
    axes.grid(alpha=0.3)


def option_axis(axes, option: str, texts: set[str]) -> dict[str, float]:
    """Make the x axis one of an option; return the places of its values, in their order.

    Logarithmic where numbers span it, 0 then stands on the left of a dotted line; words in a row.
    """
    ordered = sorted(texts, key=lambda text: (as_number(text), text))
    places, title = np.array([as_number(text) for text in ordered]), option.replace("_", " ")
    if not np.isfinite(places).all():
        places = np.arange(len(ordered))
        axes.set_xticks(places, ordered)
    elif option == "seed":
        axes.xaxis.get_major_locator().set_params(integer=True)
    elif len(places) > 2 and places[0] >= 0 and places[-1] > 20 * places[1] > 0:
        axes.set_xscale("log")
        if places[0] == 0:
            places[0] = places[1] / max(places[2] / places[1], 2.0)  # a step further to the left
            axes.axvline(np.sqrt(places[0] * places[1]), color="grey", lw=0.8, ls=":")
            title += " (leftmost: 0)"
    axes.set_xlabel(title)
    return dict(zip(ordered, places.tolist(), strict=True))


def as_number(text: str) -> float:
    """A number; infinite for words, which so come last."""
    try:
        return float(text)
    except ValueError:
        return math.inf


def plot_sweep(folder: Path) -> list[Path]:
    """Errors after the last epoch against a swept option, mean over the seeds.

    Below, where they are recorded, the spread of the corrections over the layers and the
    corrections themselves; Gammell et al. 2021, fig. 4.
    """
    rows = [row for row in read_summary(folder) if row.get("epochs")]
    options, methods = swept_options(rows), by_method(rows)
    if len(options) != 1:
        return []
    for row in rows:
        found = read_arrays(folder / row["run"])
        if f"{row['method']}_correction" in found:
            row["correction"] = found[f"{row['method']}_correction"].mean((0, 1)) * found["lr_tab"]
    corrected = {m: own for m, own in methods.items() if all("correction" in r for r in own)}
    n_panels = 1 + bool(corrected) + len(corrected)
    figure = new_figure(figsize=(6.8, 1.0 + 3.0 * n_panels))
    first, *others = figure.subplots(n_panels, 1, squeeze=False)[:, 0]
    draw_measures(first, options[0], methods, {"train_error": "s--", "test_error": "o-"})
    first.set_ylabel(f"error after the last epoch ({unit_of(folder / rows[0]['run'])})")
    if corrected:
        draw_measures(others[0], options[0], corrected, {"log_spread": "^:"})
        others[0].set_ylabel("spread over the layers (decades)")
    for axes, (method, own) in zip(others[1:], corrected.items(), strict=bool(corrected)):
        means = over_seeds(own, options[0], "correction")
        where = option_axis(axes, options[0], set(means))
        draw_pairs(axes, list(where.values()), np.array([means[text][0] for text in where]))
        axes.set_ylabel(f"{method}, RMS correction of a batch")
    return save(figure, folder, "sweep")


def draw_measures(axes, option: str, methods: dict[str, Rows], styles: dict[str, str]) -> None:
    """Columns of a summary over the values of an option, from 0."""
    series = []
    for method, own in methods.items():
        for name, style in styles.items():
            label, colour = f"{method} {name.replace('_', ' ')}", colour_of(method)
            series.append(Points(label, over_seeds(own, option, name), colour, style))
    draw_sweep(axes, option, series)
    axes.set_ylim(bottom=0)
    legend(axes)


def over_seeds(rows: Rows, option: str, measure: str) -> dict[str, tuple]:
    """Mean and standard deviation (0 of one) over the runs with each value of the option."""
    groups: dict[str, list] = {}
    for row in rows:
        groups.setdefault(row[option], []).append(np.asarray(row[measure], float))
    return {
        value: (np.mean(own, 0), np.std(own, 0, ddof=1) if len(own) > 1 else 0 * own[0])
        for value, own in groups.items()
    }


def plot_measures(folder: Path) -> list[Path]:
    """What actions other than training have measured, a panel per measure.

    Against the swept option, mean over the seeds; if there is not one, a dot per seed.
    """
    rows = [row for row in read_summary(folder) if not row.get("epochs")]
    if not rows:
        return []
    options, names, groups = swept_options(rows), list(rows[0]), {}
    measures, swept = names[names.index("method") + 1 :], len(options) == 1
    for row in rows:
        groups.setdefault(row["method"] if swept else group_of(row, options), []).append(row)
    across, down = min(3, len(measures)), -(-len(measures) // 3)
    figure = new_figure(figsize=(PANEL[0] * across, PANEL[1] * down + 0.2 * len(groups)))
    for k, measure in enumerate(measures):
        axes = figure.add_subplot(down, across, k + 1)
        for n, (label, every) in enumerate(groups.items()):
            own = [row for row in every if row[measure]]  # one action measures more than another
            if not own:
                continue
            option, style = (options[0], "o-") if swept else ("seed", "o")
            points = over_seeds(own, option, measure)
            draw_sweep(axes, option, [Points(label, points, f"C{n % 10}", style)])
            if not swept:
                axes.axhline(numbers(own, measure).mean(), color=f"C{n % 10}", lw=1)
        unit = " (%)" if measure in ("same_sign", "both_zero") else ""
        axes.set_ylabel(measure.replace("_", " ") + unit)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=7)
    return save(figure, folder, "measures")


# Gradient matching ------------------------------------------------------------------------------


def plot_S(folder: Path) -> list[Path]:
    """EP's updates (dashed) and BPTT's gradients (solid) of sampled neurons, a panel per layer."""
    arrays = read_arrays(folder)
    if "layers" not in arrays:
        return []
    panels = [(layer, arrays[f"nS_{layer}"], arrays[f"dS_{layer}"]) for layer in arrays["layers"]]
    figure = new_figure()
    draw_processes(figure, panels, NEURONS_UNIT)
    say_settling(figure, "neurons", arrays)
    return save(figure, folder, "neurons")


def plot_T(folder: Path) -> list[Path]:
    """The same for sampled synapses: instantaneous (nT, dT) and cumulated (NT, DT)."""
    arrays, written = read_arrays(folder), []
    names = arrays.get("synapses", ()) if "layers" in arrays else ()
    cumulated = [(name, arrays[f"NT_{name}"], arrays[f"DT_{name}"]) for name in names]
    steps = [(name, compute_nTdT(NT), compute_nTdT(DT)) for name, NT, DT in cumulated]
    kinds = {"synapses": (steps, ", per step)"), "synapses, cumulated": (cumulated, ")")}
    for title, (panels, end) in kinds.items() if cumulated else ():
        figure = new_figure()
        draw_processes(figure, panels, SYNAPSES_UNIT + end)
        say_settling(figure, title, arrays)
        written += save(figure, folder, title.replace(", ", "_"))
    return written


def compute_nTdT(cumulated: np.ndarray) -> np.ndarray:
    """Instantaneous process (K, n) of a cumulated one: its steps, 0 at t = 0."""
    return np.diff(cumulated, axis=0, prepend=cumulated[:1])


def draw_processes(figure, panels: list[tuple], label: str, steps=None, most: int = 10) -> None:
    """A panel per (name, gradients (K, n), updates (K, n)), a colour per unit or synapse.

    Args:
        steps: (K,), where these are not all steps.
        most: units or synapses drawn per panel.
    """
    figure.set_size_inches(max(2, len(panels)) * PANEL[0], PANEL[1] + 0.7)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, gradients, updates) in zip(row, panels, strict=True):
        x = np.arange(len(gradients)) if steps is None else steps
        for k in range(min(gradients.shape[1], most)):
            axes.plot(x, gradients[:, k], "-", color=f"C{k}", lw=1.2, alpha=0.75)
            axes.plot(x, updates[:, k], "--", color=f"C{k}", lw=1.8)
        axes.set_title(symbol(name))
        whole_numbers(axes, "step $t$")
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        axes.grid(alpha=0.3)
        axes.margins(x=0.02)
    row[0].set_ylabel(label, fontsize=8)
    axes.plot([], [], "k-", lw=1.2, label="BPTT")
    axes.plot([], [], "k--", lw=1.8, label="EP")
    legend(axes)


def symbol(name: str) -> str:
    """W01 as a formula with its index below, Wconv0 likewise."""
    head, index = name[0], name[1:]
    inner = index if index[-1:].isalpha() or index.isdigit() else f"\\mathrm{{{index}}}"
    return f"${head}_{{{inner}}}$"


def say_settling(figure, title: str, arrays: Arrays) -> None:
    """A title, and whether the free phase had come to rest, as the theorem asks."""
    figure.suptitle(f"{title}\n{arrays.get('settling', 'free phase not examined')}", fontsize=7)


def plot_Hist(folder: Path) -> list[Path]:
    """Relative RMSE between the two processes: mean and standard deviation per layer."""
    arrays = read_arrays(folder)
    if "rmse_S" not in arrays:
        return []
    figure = new_figure(figsize=(7.0, 3.4))
    draw_mismatch(figure, arrays)
    say_settling(figure, "BPTT against EP", arrays)
    return save(figure, folder, "rmse")


def draw_mismatch(figure, arrays: Arrays) -> None:
    """A bar per layer on the left, per weight on the right."""
    kinds = (("S", "layers", "neurons"), ("T", "synapses", "synapses"))
    for axes, (kind, names, title) in zip(figure.subplots(1, 2), kinds, strict=True):
        mean, std = arrays[f"rmse_{kind}"].T
        labels = [symbol(name) for name in arrays[names]]
        below = np.minimum(std, mean)  # an RMSE is never negative
        axes.bar(labels, mean, yerr=[below, std], capsize=4, color=MISMATCH[kind], width=0.6)
        for x, value in enumerate(mean):
            axes.text(x + 0.05, value, f"{value:.2g}", ha="left", va="bottom", fontsize=8)
        axes.set_title(title)
        axes.set_ylabel("relative RMSE")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)


def compute_Hist(
    gradients: Sequence[np.ndarray], updates: Sequence[np.ndarray]
) -> tuple[list[float], list[float]]:
    """Relative RMSE between two processes: mean and standard deviation (N - 1) per layer.

    Args:
        gradients, updates: per layer (K, ...), whole curves as `--save-full` stores them.
    """
    mean, std = [], []
    for pair in zip(gradients, updates, strict=True):
        a, c = (curves.astype(np.float64) for curves in pair)  # squares of float32 may vanish
        scale = np.maximum((a * a).sum(0), (c * c).sum(0))
        error = ((a - c) ** 2).sum(0)
        values = np.sqrt(np.divide(error, scale, out=np.zeros_like(error), where=scale > 0))
        mean.append(float(values.mean()))
        std.append(float(values.std(ddof=1)))
    return mean, std


PANELS = {  # by the figure's name: what is recorded, and what draws it
    "corrections": (("correction",), draw_corrections),
    "mse": (("mse_free", "mse_nudged"), draw_mse),
    "convergence": (("residual",), draw_convergence),
}
EACH = {  # by the figure's name: what is recorded, inches, and what draws it
    "mean_dW": ("mean_dW", (6.2, 5.4), draw_dW),
    "weights": ("admissible", (5.4, 4.6), draw_weights),
    "graph": ("admissible", (6.0, 4.6), draw_best),
    "decision": ("decision", (8.6, 4.0), draw_decision),
    "angle": ("angle", (6.4, 3.8), draw_angles),
}
FIGURES = {"results": plot_results, "accuracy": plot_accuracy}
FIGURES |= {name: partial(plot_panels, name=name) for name in PANELS}
FIGURES |= {name: partial(plot_each, name=name) for name in EACH}
FIGURES |= {"neurons": plot_S, "synapses": plot_T, "rmse": plot_Hist, "trials": plot_trials}
FIGURES |= {"sweep": plot_sweep, "measures": plot_measures, "compared": plot_below}


def plot_folder(folder: str | Path) -> list[Path]:
    """Draw every figure a result folder has data for; return the files written.

    A figure that cannot be drawn is a warning, and costs no other one.

    Raises:
        ImportError: matplotlib is missing.
    """
    written = []
    for name, plot in FIGURES.items():
        try:
            written += plot(Path(folder))
        except ImportError:
            raise
        except Exception as error:  # whatever is wrong with the numbers of this one
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            print(f"warning: no figure {name} of {folder}: {reason}", file=sys.stderr)
    return written


if __name__ == "__main__":
    for path in plot_folder(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent):
        print(path)
