"""Puts numbers on axes: every figure of the program, and the one table of colours and styles.

`draw_*` draws on an axes or a figure; plotFunctions.py reads result folders and says what is drawn
in which figure, the report puts the same drawings on its page. A result folder gets both files in
one, so nothing of the project is imported here.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]  # of results.npz
BLUE, RED, ORANGE, GREEN = "#1f77b4", "#d62728", "#e07b00", "#2f9e44"
# Of rules: blue is a local one (orange another one), red follows the gradient itself.
COLOURS = {"EP": BLUE, "DEEP": BLUE, "asymEP": ORANGE, "BrainProp": BLUE}
COLOURS |= {"BPTT": RED, "EBP": RED, "BP": RED}
MARKERS = {BLUE: "o", RED: "s", ORANGE: "D", GREEN: "^"}  # of rules, where colours tell runs
STYLES = {"train": "--", "test": "-", "validation": ":"}  # of curves, by the data
POSITIVE, NEGATIVE, SIGNED = BLUE, RED, "RdBu"  # of weights: colours, and the map between them
NEURONS = {"input": "#a6cee3", "one": "#eeeeee", "hidden": "#fdbf6f", "output": "#b2df8a"}
COLUMNS = {"input": 0.0, "one": 0.0, "hidden": 1.0, "output": 2.0}  # where they stand in a graph
MISMATCH = {"S": "#4c72b0", "T": "#dd8452"}  # of neurons and of synapses
NEURONS_UNIT = r"$\nabla^{BPTT}_s$, $-\Delta^{EP}_s$ (loss per unit of $s$)"
SYNAPSES_UNIT = r"$\nabla^{BPTT}_W$, $-\Delta^{EP}_W$ (loss per unit of $W$"
LEAST_ANGLE = 0.01  # degrees, of an axis
WIDE = 10.0  # from the lowest to the highest error that a linear axis shows
LAYERS, LAYER_MARKERS = "viridis", "osD^vP<>X*"  # in the order of the layers
# Of rules that are compared, told apart by colour-blind eyes, too (Okabe & Ito 2008).
RULES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
OTHERS = "#c4c4c4"  # of the contestants that a panel is not about
MOST_EDGES = 60  # of a graph, the strongest
PIXELS = 600  # of a side of a map
PANEL = (3.4, 2.9)  # inches


def colour_of(method: str) -> str:
    """The colour of a training method, the same in every figure."""
    return COLOURS.get(method, GREEN)


def palette(n: int) -> list[str]:
    """So many colours for what is no rule."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    few = [f"C{k}" for k in range(n)]
    return few if n <= 10 else [to_hex(c) for c in colormaps["turbo"](np.linspace(0.03, 0.97, n))]


def marker_of(method: str) -> str:
    """The marker of a training method, the same in every figure."""
    return MARKERS[colour_of(method)]


def new_figure(layout: str | None = "constrained", **size):
    """A figure that needs no display."""
    from matplotlib.figure import Figure

    return Figure(layout=layout, **size)


def legend_beside(axes) -> None:
    """A legend of these axes, on their right: it lies on no curve."""
    axes.legend(
        frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3
    )


def legend_below(figure, title: str = "", fontsize: float = 8) -> None:
    """One legend for all axes, below them; the figure grows by it."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        found = dict(zip(labels, handles, strict=True)) | found
    if not found:
        return
    width, height = figure.get_size_inches()
    letters = 120 * width / fontsize  # of a line: one takes 0.6 of its size
    rows = math.ceil(len(found) / max(1, int(letters / (max(map(len, found)) + 7))))
    columns = math.ceil(len(found) / rows)
    figure.set_figheight(height + (rows + bool(title)) * 1.5 * fontsize / 72)
    figure.legend(
        found.values(), found.keys(), title=title or None, loc="outside lower center",
        ncols=columns, frameon=False, fontsize=fontsize, title_fontsize=fontsize, handlelength=3,
    )  # fmt: skip


def whole_numbers(axes, label: str) -> None:
    """An x axis of counted things, of what is drawn already; one of them stands in its middle."""
    axes.set_xlabel(label)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    low, high = axes.dataLim.intervalx
    if low == high:
        axes.set_xlim(low - 0.5, high + 0.5)


def from_zero(axes) -> None:
    """A y axis that begins at 0, with room for a marker there and at the top."""
    top = axes.get_ylim()[1]
    axes.set_ylim(-0.04 * top, 1.04 * top)


def show(error: float, unit: str) -> str:
    """An error as people read it."""
    return f"{error:.2f} %" if unit == "%" else f"{error:.4f}"


# Learning curves ---------------------------------------------------------------------------------


class Curve(NamedTuple):
    """What is drawn over epochs; of several seeds the mean, in a band of a standard deviation."""

    label: str  # one that begins with _ is not in the legend
    epochs: Sequence[float]  # (n,)
    values: np.ndarray  # (n,) or (seeds, n)
    colour: str | None
    style: str  # one of STYLES, or a marker alone
    marker: str = "o"


def draw_learning(axes, curves: list[Curve], label: str, unit: str = "%") -> None:
    """Curves over the epochs that have a value; the last one of each is in its label."""
    for name, epochs, values, colour, style, marker in curves:
        table = np.atleast_2d(values)
        known = np.isfinite(table.mean(0))
        if known.any():
            epochs, table = np.asarray(epochs)[known], table[:, known]
        mean = table.mean(0)
        look = {"marker": marker, "markevery": max(1, len(mean) // 12)}
        look = look if style in STYLES.values() else {}
        look |= {"mfc": "none"} if style == STYLES["train"] else {}  # tells a single point
        (line,) = axes.plot(epochs, mean, style, color=colour, ms=3.5, lw=1.4, **look)
        if len(table) > 1:
            std = table.std(0, ddof=1)
            ends = mean - std, mean + std
            axes.fill_between(epochs, *ends, color=line.get_color(), alpha=0.2, lw=0)
        seeds = f", n = {len(table)}" if len(table) > 1 else ""
        line.set_label(f"{name} ({show(mean[-1], unit)}{seeds})")
    whole_numbers(axes, "epoch")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


def told_apart(tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Errors by the data they were measured on, one curve where training and test data are one."""
    if np.array_equal(tables["train"], tables["test"], equal_nan=True):
        both = {"train and test": tables["test"]}
        return both | {name: tables[name] for name in tables if name not in ("train", "test")}
    return tables


def style_of(data: str) -> str:
    """The style of a curve by the data, as `told_apart` calls them."""
    return STYLES[data.split()[-1]]


def legend_title(curves: list[Curve]) -> str:
    """What the legend of learning curves explains."""
    many = any(np.ndim(curve.values) > 1 and len(curve.values) > 1 for curve in curves)
    return "last epoch in brackets" + "; band: one standard deviation over the seeds" * many


def draw_errors(axes, curves: list[Curve], unit: str) -> None:
    """On a log axis where the first epochs would press the last ones to the floor."""
    draw_learning(axes, curves, f"error ({unit})", unit)
    means = np.concatenate([np.atleast_2d(curve.values).mean(0) for curve in curves])
    means = means[np.isfinite(means)]
    if log_if_wide(axes, means):
        axes.set_ylim(bottom=means.min() / 1.3)
    else:
        from_zero(axes)


def log_if_wide(axes, values: np.ndarray) -> bool:
    """Make a y axis logarithmic, if the largest value would press the others to the floor."""
    values = values[np.isfinite(values)]
    wide = len(values) > 0 and values.max() > WIDE * values.min() > 0
    if wide:
        axes.set_yscale("log")
        for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            ticks(plain_number)
    return wide


def plain_number(value: float, place: int = 0) -> str:
    """A tick of a log axis: 1, 2 and 5 of every decade, as people write them."""
    return f"{value:g}" if f"{value:e}"[0] in "125" else ""


# Layer-skipping networks -------------------------------------------------------------------------


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
    from matplotlib import colormaps

    n_pairs = corrections.shape[1]
    colours = colormaps[LAYERS](np.linspace(0.9, 0, n_pairs))  # dark next to the data
    for k in reversed(range(n_pairs)):  # from the data on, as the paper counts
        name = f"W{k}{'x' if k == n_pairs - 1 else k + 1}"
        marker = LAYER_MARKERS[k % len(LAYER_MARKERS)]
        axes.plot(
            x, corrections[:, k], "-", marker=marker, markevery=max(1, len(x) // 12), ms=4,
            color=colours[k], label=symbol(name),
        )  # fmt: skip
    axes.set_yscale("log")
    axes.grid(alpha=0.3)


def draw_dW(figure, arrays: Arrays, method: str) -> None:  # noqa: N802
    """Map of mean |dW| over the whole weight matrix, in log colour; Gammell et al. 2021, fig. 5.

    Times the mean rate; links that are not there white. A dot of a large one is a mean of links.
    """
    from matplotlib.colors import LogNorm

    mask, axes = arrays[f"{method}_mask"].astype(bool), figure.subplots()
    changes = arrays[f"{method}_mean_dW"] * arrays["lr_tab"].mean()
    mean = coarse(changes[::-1, ::-1], mask[::-1, ::-1])
    high = np.nanmax(mean) or 1.0
    shown = np.maximum(mean, high / 1e4)  # a link that never moved is dark, not white
    ends = (-0.5, len(mask) - 0.5)
    image = axes.imshow(
        shown, norm=LogNorm(high / 1e3, high), cmap="viridis", interpolation="nearest",
        extent=(*ends, *ends[::-1]),
    )  # fmt: skip
    figure.colorbar(image, label=r"mean $|\Delta W|$ of a batch", extend="min")
    axes.set_xlabel("neuron, from the data to the output")
    axes.set_ylabel("neuron, from the data to the output")
    axes.set_title(f"{method}, {int(mask.sum() / 2)} links")


def coarse(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A square map in at most PIXELS rows: means of blocks, of what the mask has; NaN: nothing."""
    side = -(-len(values) // PIXELS)
    starts = np.arange(0, len(values), side)

    def sums(table: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(table, starts, axis=0), starts, axis=1)

    total, known = sums(np.where(mask, values, 0)), sums(mask.astype(np.int32))
    return np.divide(total, known, out=np.full(known.shape, np.nan), where=known > 0)


# Directed graphs ---------------------------------------------------------------------------------


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
    from_zero(axes)
    axes.set_ylabel("MSE, half squared error per pattern")


def draw_convergence(axes, arrays: Arrays, method: str, measure: str) -> None:
    """Norm of the last change of the states in the free phase: did the dynamics rest?"""
    values = np.maximum(arrays[f"{method}_{measure}"][:, 0], 1e-17)
    draw_spread(axes, spread_of(values), colour_of(method))
    axes.set_yscale("log")
    axes.set_title(f"{method}, {values.shape[1]} networks", fontsize=9)
    axes.set_ylabel("norm of the last step (below 1e-17: at rest)", fontsize=8)


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
    title = f"{method}, {sparsity:.2f} % sparse, {in_graph(W)}\n"
    axes.set_title(f"{title}blue excites, red inhibits; +1: the constant neuron", fontsize=9)


def in_graph(W: np.ndarray) -> str:
    """How many connections there are, and how many of them `draw_graph` draws."""
    n = int(np.count_nonzero(W))
    said = f"{n} connection" + "s" * (n != 1)
    return said + f", the {MOST_EDGES} strongest drawn" * (n > MOST_EDGES)


def draw_graph(axes, W: np.ndarray, kinds: list[str]) -> None:
    """A directed network: inputs left, outputs right, the hidden neurons a ring between them.

    The stronger a connection, the wider and more opaque; the MOST_EDGES strongest are drawn.

    Args:
        W: (n, n), from row to column; 0: no connection.
        kinds: what each neuron is, as `neuron_kinds` says it.
    """
    from matplotlib.patches import FancyArrowPatch

    places, radius = node_places(kinds), min(11.0, 240 / max(map(kinds.count, kinds)))  # points
    strength = np.abs(W) / (np.abs(W).max() or 1.0)
    strongest = np.argsort(-strength, axis=None, kind="stable")[: np.count_nonzero(W)][:MOST_EDGES]
    for i, j in zip(*np.unravel_index(strongest, W.shape), strict=True):
        arrow = FancyArrowPatch(
            places[i], places[j], arrowstyle="-|>", mutation_scale=10, lw=0.6 + strength[i, j],
            shrinkA=radius, shrinkB=radius, connectionstyle="arc3,rad=0.12",
            color=POSITIVE if W[i, j] > 0 else NEGATIVE, alpha=0.2 + 0.8 * strength[i, j],
            zorder=strength[i, j],
        )  # fmt: skip
        axes.add_patch(arrow)
    x, y = zip(*places, strict=True)
    colours = [NEURONS[kind] for kind in kinds]
    size = (2 * radius) ** 2
    axes.scatter(x, y, s=size, c=colours, ec="k", lw=0.8, zorder=2, clip_on=False)
    for k, (place, kind) in enumerate(zip(places, kinds, strict=True)):
        label = "+1" if kind == "one" else str(k)
        axes.annotate(
            label, place, ha="center", va="center", fontsize=0.8 * radius, color="#111111"
        )
    axes.margins(0.1)
    axes.axis("off")


def node_places(kinds: list[str]) -> list[tuple[float, float]]:
    """Inputs in a column at 0, outputs at 2, the hidden neurons on an ellipse around (1, 0)."""
    columns, places = [COLUMNS[kind] for kind in kinds], []
    for k, (x, kind) in enumerate(zip(columns, kinds, strict=True)):
        before, total = columns[:k].count(x), columns.count(x)
        if kind == "hidden":
            angle = 2 * math.pi * before / total
            places.append((x + 0.6 * math.sin(angle), math.cos(angle)))
        else:
            places.append((x, 1.4 * ((total - 1) / 2 - before) / max(2, total - 1)))
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
    axes.set_title(f"{method}, {angle.shape[1]} networks", fontsize=9)


def draw_angle(axes, epochs: np.ndarray, angle: np.ndarray, colour: str) -> None:
    """Degrees (epochs, networks), NaN where the gradient is 0; the share of those on the right."""
    draw_spread(axes, spread_of(angle, epochs), colour)
    axes.axhline(90, color="k", lw=0.8, ls=":")
    axes.set_ylim(-4, 184)
    axes.set_yticks(range(0, 181, 30))
    axes.set_ylabel("angle to the way down (degrees)")
    twin = axes.twinx()
    twin.plot(epochs, 100 * np.isnan(angle).mean(1), color=GREEN, lw=1, label="gradient 0 (right)")
    twin.set_ylim(-100 / 45, 100 + 100 / 45)
    twin.set_ylabel("gradient exactly 0 (% of networks)", color=GREEN, fontsize=8)


# Over the values of an option --------------------------------------------------------------------


class Points(NamedTuple):
    """What is drawn over the values of an option: mean and standard deviation by the value."""

    label: str
    values: dict[str, tuple[float, float]]
    colour: str
    style: str  # as matplotlib writes it: s--


def draw_sweep(axes, option: str, series: list[Points]) -> None:
    """Points with error bars, of a standard deviation each, over the values of an option."""
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

    Logarithmic where numbers span it, with a tick at every value; 0 stands on the left of a
    dotted line. Words stand in a row.
    """
    ordered = sorted(texts, key=lambda text: (as_number(text), text))
    places = np.array([as_number(text) for text in ordered])
    if not np.isfinite(places).all():
        places = np.arange(len(ordered))
        axes.set_xticks(places, ordered)
    elif option == "seed":
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    elif len(places) > 2 and places[0] >= 0 and places[-1] > 20 * places[1] > 0:
        axes.set_xscale("log")
        has_zero = places[0] == 0
        if has_zero:
            places[0] = places[1] / max(places[2] / places[1], 2.0)  # a step further to the left
        margin = (places[-1] / places[0]) ** 0.05
        axes.set_xlim(places[0] / margin, places[-1] * margin)
        axes.set_xticks(places, ordered, rotation=45 * (len(ordered) > 7))
        axes.set_xticks([], minor=True)
        if has_zero:
            axes.axvline(np.sqrt(places[0] * places[1]), color="grey", lw=0.8, ls=":")
    axes.set_xlabel(option.replace("_", " "))
    return dict(zip(ordered, places.tolist(), strict=True))


def as_number(text: str) -> float:
    """A number; infinite for words, which so come last."""
    try:
        return float(text)
    except ValueError:
        return math.inf


# Learning rules compared -------------------------------------------------------------------------


class Contestant(NamedTuple):
    """What is drawn of one that is compared, on one data set."""

    number: int  # the same on all data sets, from 1
    name: str
    dataset: str
    value: str  # of the option that was swept, if there was one
    colour: str  # of its rule
    marker: str  # of its data set
    error: np.ndarray  # (seeds,) test error of the last epoch, %
    products: np.ndarray  # (seeds,)
    curves: np.ndarray  # (seeds, epochs) test error


def contestants_of(arrays: Arrays) -> list[Contestant]:
    """The rows of a comparison, as report/comparison.py stores them; of what was not tested NaN."""
    names, rules, datasets = (arrays[f"compared_{k}"] for k in ("contestant", "rule", "dataset"))
    swept = [str(name) for name in arrays["compared_swept"]]
    values = arrays[f"compared_{swept[0]}"] if len(swept) == 1 else [""] * len(names)
    numbers, rows, sets = (list(dict.fromkeys(map(str, x))) for x in (names, rules, datasets))
    return [
        Contestant(
            1 + numbers.index(name), str(name), str(data), str(value),
            RULES[rows.index(rule) % len(RULES)], LAYER_MARKERS[sets.index(data)], *tables,
        )
        for name, rule, data, value, *tables in zip(
            names, rules, datasets, values, arrays["compared_test_error"],
            arrays["compared_products"], arrays["compared_curves"][:, 0], strict=True,
        )
    ]  # fmt: skip


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Of those that are numbers; the standard deviation of one is 0."""
    known = values[np.isfinite(values)]
    std = known.std(ddof=1) if len(known) > 1 else 0.0
    return (float(known.mean()), float(std)) if len(known) else (math.nan, 0.0)


def draw_cost(figure, rows: list[Contestant]) -> None:
    """Test error against the products that a training sample costs, a number per contestant."""
    axes, points = figure.subplots(), []
    for row in rows:
        (x, dx), (y, dy) = mean_and_std(row.products), mean_and_std(row.error)
        axes.errorbar(
            x, y, xerr=dx, yerr=dy, fmt=row.marker, color=row.colour, ms=5, capsize=2, lw=1
        )
        points.append((x, y))
    axes.set_xscale("log")
    log_if_wide(axes, np.array([y for _, y in points]))
    axes.margins(0.1)
    axes.xaxis.set_major_formatter(plain_number)
    axes.xaxis.set_minor_formatter(plain_number)
    axes.set_xlabel("passes through all weights per training sample")
    axes.set_ylabel("test error (%)")
    axes.grid(alpha=0.3)
    places = free_places(axes, np.array(points))
    for row, point, place in zip(rows, points, places, strict=True):
        axes.annotate(
            str(row.number), point, place, textcoords="offset points", ha="center", va="center",
            fontsize=8, color=row.colour,
        )  # fmt: skip
    for row in {row.number: row for row in rows}.values():
        axes.plot([], [], "o", ms=5, color=row.colour, label=f"{row.number}  {row.name}")
    sets = {row.dataset: row.marker for row in rows}
    for name, marker in sets.items() if len(sets) > 1 else ():
        axes.plot([], [], marker, ms=5, color="grey", mfc="none", label=name)


def free_places(axes, points: np.ndarray) -> list[tuple[float, float]]:
    """Where a label stands beside each point, in points of the page, far from all that is there."""
    pixels = axes.transData.transform(points) * 72 / axes.figure.dpi
    angles = np.array([0, 0.25, 0.75, 1, 1.25, 1.75]) * np.pi  # above is an error bar
    ways = 9 * np.column_stack([np.cos(angles), np.sin(angles)])
    taken, places = list(pixels), []
    for k, own in enumerate(pixels):
        others = np.array([place for n, place in enumerate(taken) if n != k] or [own + 99])
        gaps = np.hypot(*(own + ways[:, None] - others).transpose(2, 0, 1)).min(1)  # (ways,)
        places.append(tuple(ways[gaps.argmax()]))
        taken.append(own + ways[gaps.argmax()])
    return places


def draw_multiples(figure, rows: list[Contestant]) -> None:
    """Test error per epoch, a panel per contestant, the others of its data sets in grey."""
    numbers = sorted({row.number for row in rows})
    across = min(4, len(numbers))
    down = -(-len(numbers) // across)
    figure.set_size_inches(2.4 * across + 0.4, 1.9 * down + 0.6)
    room = {"hspace": 0.3}
    panels = figure.subplots(
        down, across, squeeze=False, sharex=True, sharey=True, gridspec_kw=room
    ).flatten()
    for axes, number in zip(panels, numbers, strict=False):
        own = [row for row in rows if row.number == number]
        for row in rows:
            if row.number != number and row.dataset in {one.dataset for one in own}:
                axes.plot(*mean_curve(row)[:2], color=OTHERS, lw=0.7, zorder=1)
        for row in own:
            epochs, mean, std = mean_curve(row)
            look = {"color": row.colour, "marker": row.marker, "ms": 3, "lw": 1.4}
            axes.plot(epochs, mean, markevery=max(1, len(epochs) // 8), **look)
            ends = np.maximum(mean - std, mean.min() / 2), mean + std
            axes.fill_between(epochs, *ends, color=row.colour, alpha=0.2, lw=0)
        axes.set_title(f"{number}  {own[0].name}", fontsize=8)
        axes.tick_params(labelsize=7, which="both")
        axes.grid(alpha=0.3)
    for axes in panels[len(numbers) :]:
        axes.set_axis_off()
    first = figure.axes[0]
    log_if_wide(first, np.concatenate([mean_curve(row)[1] for row in rows]))
    first.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("test error (%)", fontsize=9)
    sets = {row.dataset: row.marker for row in rows}
    for name, marker in sets.items() if len(sets) > 1 else ():
        first.plot([], [], marker, ms=5, color="grey", mfc="none", label=name)


def mean_curve(row: Contestant) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Epochs that all seeds were tested after, mean test error and its standard deviation."""
    known = np.isfinite(row.curves).any(1)  # the others have failed
    table = row.curves[known]
    tested = np.isfinite(table).all(0)
    table = table[:, tested]
    std = table.std(0, ddof=1) if len(table) > 1 else np.zeros(table.shape[1])
    return 1 + np.flatnonzero(tested), table.mean(0), std


def draw_swept(figure, rows: list[Contestant], option: str) -> None:
    """Test error against what was swept, such as a noise; a panel per data set."""
    sets = list(dict.fromkeys(row.dataset for row in rows))
    figure.set_size_inches(0.5 + 5.2 * len(sets), 4.2)
    panels = figure.subplots(1, len(sets), squeeze=False, sharey=True)[0]
    for axes, dataset in zip(panels, sets, strict=True):
        own = [row for row in rows if row.dataset == dataset]
        series = []
        for number in sorted({row.number for row in own}):
            each = [row for row in own if row.number == number]
            alike = sorted({row.number for row in rows if row.colour == each[0].colour})
            marker = LAYER_MARKERS[alike.index(number) % len(LAYER_MARKERS)]
            points = {row.value: mean_and_std(row.error) for row in each}
            label = f"{number}  {each[0].name}"
            series.append(Points(label, points, each[0].colour, f"{marker}-"))
        draw_sweep(axes, option, series)
        log_if_wide(axes, np.array([mean_and_std(row.error)[0] for row in own]))
        axes.set_title(dataset, fontsize=9)
    panels[0].set_ylabel("test error (%)")


class Compared(NamedTuple):
    """A figure of a comparison."""

    name: str  # of its file
    title: str
    caption: str
    about: str  # for who does not see it
    draw: Any  # on an empty figure
    beside: bool  # where a legend goes, if there is no page around it
    size: tuple[float, float] = (7.0, 4.6)


def comparisons(arrays: Arrays) -> list[Compared]:
    """The figures that the arrays of a comparison have numbers for."""
    rows = contestants_of(arrays)
    swept, names = [str(name) for name in arrays["compared_swept"]], {row.name for row in rows}
    bars = "Mean and one standard deviation over the seeds, a colour per rule"
    said = ", ".join(
        f"{row.name} on {row.dataset} {mean_and_std(row.error)[0]:.3g} %" for row in rows
    )
    if not rows or len(swept) > 1:
        return []
    if swept:
        title = f"Test error against {swept[0].replace('_', ' ')}"
        draw = partial(draw_swept, rows=rows, option=swept[0])
        about = f"{title} of {', '.join(sorted(names))}"
        return [Compared("comparison_swept", title, f"{bars}.", about, draw, True)]
    curves = partial(draw_multiples, rows=rows)
    caption = f"{bars}; grey: the other contestants."
    title = "Test error per epoch"
    found = [Compared("comparison_curves", title, caption, f"{title}: {said}", curves, False)]
    known = [row for row in rows if np.isfinite(row.products).any()]
    if known:
        cost, title = partial(draw_cost, rows=known), "Test error against cost"
        caption = f"{bars}; the numbers are those of the contestants."
        found.insert(0, Compared("comparison_cost", title, caption, f"{title}: {said}", cost, True))
    return found


# Gradient matching -------------------------------------------------------------------------------


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
    row[0].plot([], [], "k-", lw=1.2, label="BPTT")
    row[0].plot([], [], "k--", lw=1.8, label="EP")


def symbol(name: str) -> str:
    """W01 as a formula with its index below, Wconv0 likewise."""
    head, index = name[0], name[1:]
    inner = index if index[-1:].isalpha() or index.isdigit() else f"\\mathrm{{{index}}}"
    return f"${head}_{{{inner}}}$"


def say_settling(figure, title: str, arrays: Arrays) -> None:
    """A title, and whether the free phase had come to rest, as the theorem asks."""
    said = str(arrays.get("settling", "free phase not examined"))
    lines = textwrap.wrap(said, int(15 * figure.get_figwidth()))  # letters of 8 points
    figure.set_figheight(figure.get_figheight() + 0.15 * len(lines))
    figure.suptitle("\n".join([title, *lines]), fontsize=8)


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
        axes.set_ylabel("relative RMSE" if kind == "S" else "")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)


def draw_audit(figure, arrays: Arrays) -> None:
    """Angle of every update to the gradient, and its norm beside the gradient's, per group."""
    rows, subjects = arrays["audit_rows"], arrays["audit_subjects"]
    angle = np.degrees(np.arccos(np.clip(arrays["audit_cosine"], -1, 1)))
    left, right = figure.subplots(1, 2, sharey=True)
    for k, subject in enumerate(subjects):
        look = {"label": subject, "color": f"C{k % 10}", "marker": "o" if k else "D", "s": 22}
        height = np.arange(len(rows)) + 0.5 * (k / len(subjects) - 0.4)
        left.scatter(np.maximum(angle[:, k], LEAST_ANGLE), height, **look)
        right.scatter(arrays["audit_norm_ratio"][:, k], height, **look)
    left.set_xscale("log")
    left.set_xlim(LEAST_ANGLE / 2, 250)
    left.axvline(90, color="grey", ls=":", lw=1)
    left.set_yticks(np.arange(len(rows)), rows, fontsize=8)
    left.invert_yaxis()
    left.set_xlabel(f"angle to the gradient (degrees; at {LEAST_ANGLE:g}: that or less)")
    right.axvline(1, color="grey", ls=":", lw=1)
    right.set_xlim(left=0)
    right.set_xlabel("norm in units of the gradient's")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    legend_beside(right)
