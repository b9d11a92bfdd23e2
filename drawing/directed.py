"""Directed graphs: spread over networks, weights, graph, decision and angle.

Figures of Tristany Farinha et al. 2020.
"""

from __future__ import annotations

import math

import numpy as np

from drawing.style import BLUE, GREEN, RED, Arrays, colour_of, from_zero, whole_numbers

POSITIVE, NEGATIVE, SIGNED = BLUE, RED, "RdBu"  # of weights: colours, and the map between them
NEURONS = {"input": "#a6cee3", "one": "#eeeeee", "hidden": "#fdbf6f", "output": "#b2df8a"}
STANDS = {"input": 0.0, "one": 0.0, "hidden": 1.0, "output": 2.0}  # where they stand in a graph
MOST_EDGES = 60  # of a graph, the strongest


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
    columns, places = [STANDS[kind] for kind in kinds], []
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
