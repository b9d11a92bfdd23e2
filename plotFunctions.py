"""Figures from a result folder: `python plotFunctions.py` inside one draws all it has data for.

Imports nothing of the project, so that the copy in a result folder runs alone.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

COLOURS = {"EP": "#1f77b4", "BPTT": "#d62728", "DEEP": "#1f77b4", "asymEP": "#ff7f0e"}
PANEL = (3.4, 2.9)  # inches
WIDE = 10.0  # from the lowest to the highest error that a linear axis shows
METRICS, SUMMARY = "metrics.csv", "summary.csv"


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of results.npz, none if there is no such file."""
    path = folder / "results.npz"
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def new_figure(**size):
    """A figure that needs no display."""
    from matplotlib.figure import Figure

    return Figure(layout="constrained", **size)


def save(figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF, each beside its place first; return the paths."""
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        part = path.with_name(path.name + ".part")
        figure.savefig(part, format=path.suffix[1:], dpi=150)
        os.replace(part, path)
    return paths


def finish_epochs(axes, label: str, legend: str, fontsize: int = 8, **place) -> None:
    """What all axes of curves over epochs have; legend: its title, place: where it stands."""
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(title=legend, frameon=False, fontsize=fontsize, **place)


def plot_results(folder: Path) -> list[Path]:
    """Train (dashed) and test (solid) error per epoch, one colour per method."""
    rows = read_table(folder / METRICS)
    if not rows:
        return []
    unit = str(read_arrays(folder).get("error_unit", "%"))
    figure = new_figure(figsize=(6.0, 4.0))
    axes = figure.subplots()
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        epochs = [int(row["epoch"]) for row in own]
        for kind, style in (("train", "--"), ("test", "-")):
            errors = [float(row[f"{kind}_error"]) for row in own]
            label = f"{method} {kind} ({show(errors[-1], unit)})"
            marker = "o" if len(own) < 16 else None
            axes.plot(
                epochs, errors, style, color=COLOURS.get(method), label=label, marker=marker, ms=3
            )
    axes.set_ylim(bottom=0)
    finish_epochs(axes, f"error ({unit})", "last epoch in brackets", fontsize=10)
    return save(figure, folder, "results")


def show(error: float, unit: str) -> str:
    """An error as people read it."""
    return f"{error:.2f} %" if unit == "%" else f"{error:.4f}"


def plot_accuracy(folder: Path) -> list[Path]:
    """Accuracy per epoch of networks that are stopped early, the best epoch marked.

    That is the one of the lowest error in what decides on the end; the weights that are kept may be
    of an earlier epoch, whose lead a later one has to pass by 0.1 %. The plot of Pozzi et al. 2020.
    """
    rows = [row for row in read_table(folder / METRICS) if row["method"] in ("BrainProp", "EBP")]
    if not rows:
        return []
    decides = "validation_error" if "validation_error" in rows[0] else "test_error"
    figure = new_figure(figsize=(7.6, 4.0))
    axes = figure.subplots()
    for k, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        own = [row for row in rows if row["method"] == method]
        epochs = [int(row["epoch"]) for row in own]
        for name, style in (("train_error", ":"), (decides, "--"), ("test_error", "-")):
            if name == decides == "test_error" and style == "--":
                continue
            accuracy = [100 - float(row[name]) for row in own]
            label = f"{method} {name.removesuffix('_error')} ({accuracy[-1]:.2f} %)"
            axes.plot(epochs, accuracy, style, color=f"C{k}", label=label)
        best = min(own, key=lambda row: float(row[decides]))
        height = 100 - float(best["test_error"])
        label = f"{method} best, epoch {best['epoch']} ({height:.2f} %)"
        axes.plot(
            int(best["epoch"]), height, "*", ms=13, color=f"C{k}", mec="k", mew=0.6, label=label
        )
    by = decides.removesuffix("_error")
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    finish_epochs(axes, "accuracy (%)", f"last epoch in brackets;\nstar: best by {by}", **beside)
    return save(figure, folder, "accuracy")


# Layer-skipping networks ------------------------------------------------------------------------


def plot_corrections(folder: Path) -> list[Path]:
    """Root mean square of what an epoch's batches change, per pair of adjacent layers.

    The measured corrections times the learning rate; Gammell et al. 2021, fig. 3.
    """
    arrays = read_arrays(folder)
    methods = [name[: -len("_correction")] for name in arrays if name.endswith("_correction")]
    if not methods:
        return []
    figure = new_figure(figsize=(1.5 + 4.0 * len(methods), 3.8))
    panels = figure.subplots(1, len(methods), squeeze=False, sharey=True)[0]
    for axes, method in zip(panels, methods, strict=True):
        mean = arrays[f"{method}_correction"].mean(1) * arrays["lr_tab"]  # (epochs, pairs)
        draw_pairs(axes, np.arange(1, len(mean) + 1), mean)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        spread = arrays[f"{method}_log_spread"][-1]
        axes.set_title(f"{method}, spread of the last epoch {spread:.2f}", fontsize=9)
    panels[0].set_ylabel("RMS correction of a batch")
    return save(figure, folder, "corrections")


def draw_pairs(axes, x: np.ndarray, corrections: np.ndarray) -> None:
    """A line per pair of layers on a log axis: (points, pairs) over x (points,)."""
    n_pairs = corrections.shape[1]
    for k in reversed(range(n_pairs)):  # from the data on, as the paper counts
        name = f"W{k}{'x' if k == n_pairs - 1 else k + 1}"
        colour = f"C{n_pairs - 1 - k}"
        axes.plot(x, corrections[:, k], "o-", ms=3, color=colour, label=symbol(name))
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def plot_dW(folder: Path) -> list[Path]:  # noqa: N802  (the paper's name)
    """Map of mean |dW| over the whole weight matrix, in log colour; links that are not there white.

    Times the mean learning rate; Gammell et al. 2021, fig. 5.
    """
    arrays, written = read_arrays(folder), []
    for name in [name for name in arrays if name.endswith("_mean_dW")]:
        method = name[: -len("_mean_dW")]
        mean = np.where(arrays[f"{method}_mask"], arrays[name], np.nan) * arrays["lr_tab"].mean()
        if not np.nansum(mean):
            continue
        figure = new_figure(figsize=(6.2, 5.4))
        axes = figure.subplots()
        from matplotlib.colors import LogNorm

        high = np.nanmax(mean)
        mean = np.maximum(mean, high / 1e4)  # a link that never moved is dark, not white
        image = axes.imshow(
            mean[::-1, ::-1],
            norm=LogNorm(high / 1e3, high),
            cmap="viridis",
            interpolation="nearest",
        )
        figure.colorbar(image, label=r"mean $|\Delta W|$ of a batch", extend="min")
        axes.set_xlabel("neuron, from the data to the output")
        axes.set_ylabel("neuron, from the data to the output")
        axes.set_title(f"{method}, {int(arrays[f'{method}_mask'].sum() / 2)} links")
        written += save(figure, folder, f"mean_dW_{method}")
    return written


# Directed graphs --------------------------------------------------------------------------------


def methods_with(arrays: dict[str, np.ndarray], name: str) -> list[str]:
    """The methods that have recorded an array of this name while they taught."""
    found = [key[: -len(name) - 1] for key in arrays if key.endswith(f"_{name}")]
    return [method for method in found if "_" not in method]


def draw_spread(axes, values: np.ndarray, colour: str) -> None:
    """Mean, median, quartiles and range over networks, of (epochs, networks); NaN: not known."""
    known = np.isfinite(values).any(1)
    epochs, values = np.flatnonzero(known) + 1, values[known]
    low, first, median, third, high = np.nanpercentile(values, (0, 25, 50, 75, 100), axis=1)
    axes.fill_between(epochs, low, high, color=colour, alpha=0.12, lw=0, label="min to max")
    axes.fill_between(epochs, first, third, color=colour, alpha=0.3, lw=0, label="quartiles")
    axes.plot(epochs, np.nanmean(values, 1), "-", color=colour, lw=1.6, label="mean")
    axes.plot(epochs, median, "--", color="k", lw=1.2, label="median")
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)


def plot_mse(folder: Path) -> list[Path]:
    """Mean squared error of both phases per epoch over the networks.

    Tristany Farinha et al. 2020, fig. 1.
    """
    arrays = read_arrays(folder)
    methods = methods_with(arrays, "mse_free")
    if not methods:
        return []
    figure = new_figure(figsize=(9.0, 3.6 * len(methods)))
    panels = figure.subplots(len(methods), 2, squeeze=False, sharey="row")
    for row, method in zip(panels, methods, strict=True):
        for axes, phase in zip(row, ("free", "nudged"), strict=True):
            values = arrays[f"{method}_mse_{phase}"][:, 0]  # (epochs, networks)
            draw_spread(axes, values, COLOURS.get(method, "C0"))
            axes.set_title(f"{method}, {phase} phase, {values.shape[1]} networks", fontsize=9)
            axes.set_ylim(bottom=0)
        row[0].set_ylabel("MSE, half squared error per pattern")
        row[0].legend(frameon=False, fontsize=8)
    return save(figure, folder, "mse")


def plot_convergence(folder: Path) -> list[Path]:
    """Norm of the last change of the states in the free phase: did the dynamics rest?"""
    arrays = read_arrays(folder)
    methods = methods_with(arrays, "mse_free")
    if not methods:
        return []
    figure = new_figure(figsize=(4.6 * len(methods), 3.6))
    for axes, method in zip(
        figure.subplots(1, len(methods), squeeze=False)[0], methods, strict=True
    ):
        values = np.maximum(arrays[f"{method}_residual"][:, 0], 1e-17)
        draw_spread(axes, values, COLOURS.get(method, "C0"))
        axes.set_yscale("log")
        axes.set_title(f"{method}, {values.shape[1]} networks", fontsize=9)
        axes.set_ylabel("norm of the last step (below 1e-17: at rest)", fontsize=8)
        axes.legend(frameon=False, fontsize=8)
    return save(figure, folder, "convergence")


def best_network(arrays: dict[str, np.ndarray], method: str) -> int:
    """The sparsest of the networks that have learnt, else the one with the smallest error."""
    learnt = arrays[f"{method}_learnt"]
    if learnt.any():
        return int(np.argmax(np.where(learnt, arrays[f"{method}_final_sparsity"], -1)))
    return int(np.nanargmin(np.nan_to_num(arrays[f"{method}_final_mse"], nan=np.inf)))


def neuron_kinds(arrays: dict[str, np.ndarray], method: str) -> list[str]:
    """What each neuron is: an input, the constant one, hidden or an output."""
    n = arrays[f"{method}_W"].shape[1]
    n_in = arrays[f"{method}_patterns"].shape[1]
    n_out = arrays[f"{method}_targets"].shape[1]
    n_x = int((arrays[f"{method}_admissible"].sum(0) == 0).sum())  # nothing leads into an input
    kinds = ["input"] * n_in + ["one"] * (n_x - n_in)
    return kinds + ["hidden"] * (n - n_x - n_out) + ["output"] * n_out


def plot_weights(folder: Path) -> list[Path]:
    """The weight matrix of the best network as a map; connections that are not there white."""
    arrays, written = read_arrays(folder), []
    for method in methods_with(arrays, "admissible"):
        best = best_network(arrays, method)
        W = arrays[f"{method}_W"][best]
        shown = np.where(W != 0, W, np.nan)
        size = np.abs(W).max() or 1.0
        figure = new_figure(figsize=(5.4, 4.6))
        axes = figure.subplots()
        image = axes.imshow(shown, cmap="RdBu_r", vmin=-size, vmax=size)
        figure.colorbar(image, label=r"$W_{ij}$, from $i$ to $j$")
        axes.set_xlabel("to neuron $j$")
        axes.set_ylabel("from neuron $i$")
        sparsity = arrays[f"{method}_final_sparsity"][best]
        axes.set_title(f"{method}, network {best}, {sparsity:.2f} % sparse", fontsize=9)
        written += save(figure, folder, f"weights_{method}")
    return written


def plot_graph(folder: Path) -> list[Path]:
    """The connections that remain in the best network, the stronger the more opaque.

    Tristany Farinha et al. 2020, fig. 2.
    """
    arrays, written = read_arrays(folder), []
    for method in methods_with(arrays, "admissible"):
        import networkx

        best = best_network(arrays, method)
        W, kinds = arrays[f"{method}_W"][best], neuron_kinds(arrays, method)
        graph = networkx.DiGraph()
        graph.add_nodes_from(range(len(W)))
        graph.add_edges_from(zip(*np.nonzero(W), strict=True))
        columns = {"input": 0.0, "one": 0.0, "hidden": 1.0, "output": 2.0}
        places = {}
        for kind in ("input", "hidden", "output"):
            own = [k for k, name in enumerate(kinds) if columns[name] == columns[kind]]
            for place, k in enumerate(own):
                bend = 0.25 * (place % 2) if kind == "hidden" else 0.0
                places[k] = (columns[kind] + bend, (len(own) - 1) / 2 - place)
        colours = {"input": "#a6cee3", "one": "#eeeeee", "hidden": "#fdbf6f", "output": "#b2df8a"}
        figure = new_figure(figsize=(6.0, 4.6))
        axes = figure.subplots()
        networkx.draw_networkx_nodes(
            graph, places, ax=axes, node_size=520, node_color=[colours[k] for k in kinds],
            edgecolors="k", linewidths=0.8,
        )  # fmt: skip
        networkx.draw_networkx_labels(
            graph,
            places,
            {k: "+1" if kind == "one" else str(k) for k, kind in enumerate(kinds)},
            ax=axes,
            font_size=9,
        )
        strength = np.abs(W) / (np.abs(W).max() or 1.0)
        edges = networkx.draw_networkx_edges(
            graph,
            places,
            ax=axes,
            node_size=520,
            width=1.6,
            edge_color=["#b2182b" if W[i, j] < 0 else "#2166ac" for i, j in graph.edges],
            connectionstyle="arc3,rad=0.12",
        )
        for patch, (i, j) in zip(edges, graph.edges, strict=True):
            patch.set_alpha(float(0.08 + 0.92 * strength[i, j]))
        sparsity = arrays[f"{method}_final_sparsity"][best]
        axes.set_title(
            f"{method}, {sparsity:.2f} % sparse, {int((W != 0).sum())} connections\n"
            "blue excites, red inhibits; +1: the constant neuron",
            fontsize=9,
        )
        axes.axis("off")
        written += save(figure, folder, f"graph_{method}")
    return written


def plot_decision(folder: Path) -> list[Path]:
    """Output over the unit square of inputs, with the contour at 1/2 where the answer changes."""
    arrays, written = read_arrays(folder), []
    for method in methods_with(arrays, "decision"):
        best, maps = best_network(arrays, method), arrays[f"{method}_decision"]
        patterns, targets = arrays[f"{method}_patterns"], arrays[f"{method}_targets"][:, 0]
        figure = new_figure(figsize=(8.6, 4.0))
        panels = figure.subplots(1, 2)
        titles = (f"{method}, network {best}", f"mean of {len(maps)} networks")
        for axes, values, title in zip(
            panels, (maps[best], np.nanmean(maps, 0)), titles, strict=True
        ):
            image = axes.imshow(values, origin="lower", extent=(0, 1, 0, 1), vmin=0, vmax=1)
            side = np.linspace(0, 1, len(values))
            if values.min() < 0.5 < values.max():
                axes.contour(side, side, values, levels=[0.5], colors="w", linewidths=1.5)
            axes.scatter(
                *patterns.T, c=targets, vmin=0, vmax=1, s=90, edgecolors="r", clip_on=False
            )
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("first input")
            axes.set_ylabel("second input")
        figure.colorbar(image, ax=panels, label="output (dots: what is asked for)")
        written += save(figure, folder, f"decision_{method}")
    return written


def plot_angle(folder: Path) -> list[Path]:
    """Angle between the rule's update and the way down the loss, per epoch over the networks."""
    arrays, written = read_arrays(folder), []
    for method in methods_with(arrays, "angle"):
        angle = arrays[f"{method}_angle"]  # (epochs, networks), NaN where the gradient is 0
        undefined = 100 * np.isnan(angle).mean(1)  # (epochs,), %
        figure = new_figure(figsize=(6.4, 3.8))
        axes = figure.subplots()
        draw_spread(axes, angle, "C0")
        axes.axhline(90, color="k", lw=0.8, ls=":")
        axes.set_ylim(0, 180)
        axes.set_yticks(range(0, 181, 30))
        axes.set_ylabel("angle to the way down (degrees)")
        twin = axes.twinx()
        twin.plot(np.arange(1, len(angle) + 1), undefined, color="C3", lw=1)
        twin.set_ylim(0, 100)
        twin.set_ylabel("networks whose gradient is exactly 0 (%)", color="C3", fontsize=8)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        axes.set_title(f"{method}, {angle.shape[1]} networks", fontsize=9)
        written += save(figure, folder, f"angle_{method}")
    return written


# Many runs --------------------------------------------------------------------------------------


def read_summary(folder: Path) -> list[dict[str, str]]:
    """The rows of a summary that have a result."""
    return [row for row in read_table(folder / SUMMARY) if row.get("method")]


def swept_options(rows: list[dict[str, str]]) -> list[str]:
    """What differs between the runs beside the seed."""
    names = list(rows[0])
    return names[1 : names.index("seed")]


def group_of(row: dict[str, str], options: list[str]) -> str:
    """The swept values and the method of a run, as a label."""
    return ", ".join([f"{name} {row[name]}" for name in options] + [row["method"]])


def plot_trials(folder: Path) -> list[Path]:
    """Test error per epoch over the seeds: mean, and a band of one standard deviation.

    On a log axis where the first epochs would press the last ones to the floor.
    """
    rows = [row for row in read_summary(folder) if row.get("epochs")]
    if not rows:
        return []
    groups: dict[str, list[np.ndarray]] = {}
    for row in rows:
        own = [r for r in read_table(folder / row["run"] / METRICS) if r["method"] == row["method"]]
        label = group_of(row, swept_options(rows))
        groups.setdefault(label, []).append(np.array([float(r["test_error"]) for r in own]))
    unit = str(read_arrays(folder / rows[0]["run"]).get("error_unit", "%"))
    figure = new_figure(figsize=(6.5, 4.2))
    axes = figure.subplots()
    means = []
    for label, curves in groups.items():
        length = min(map(len, curves))
        table = np.array([curve[:length] for curve in curves])  # (seeds, epochs)
        epochs, mean = np.arange(1, length + 1), table.mean(0)
        last = f"{label} ({show(mean[-1], unit)}, n = {len(table)})"
        (line,) = axes.plot(epochs, mean, "o-", ms=3, label=last)
        if len(table) > 1:
            std = table.std(0, ddof=1)
            axes.fill_between(epochs, mean - std, mean + std, color=line.get_color(), alpha=0.2)
        means += mean.tolist()
    if max(means) > WIDE * min(means) > 0:
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(means) / 1.3)
        axes.yaxis.set_major_formatter("{x:g}")
    else:
        axes.set_ylim(bottom=0)
    finish_epochs(axes, f"test error ({unit})", "mean of the last epoch in brackets")
    return save(figure, folder, "trials")


def plot_sweep(folder: Path) -> list[Path]:
    """Errors and the spread of the corrections against a swept number, mean over the seeds.

    Below, where they are recorded, the corrections per pair of layers; Gammell et al. 2021, fig. 4.
    """
    rows = [row for row in read_summary(folder) if row.get("epochs")]
    options = swept_options(rows) if rows else []
    if len(options) != 1 or not all(is_number(row[options[0]]) for row in rows):
        return []
    option = options[0]
    arrays = {row["run"]: read_arrays(folder / row["run"]) for row in rows}
    method = rows[0]["method"]
    rows = sorted((r for r in rows if r["method"] == method), key=lambda r: float(r[option]))
    values = np.array(sorted({float(row[option]) for row in rows}))
    x = positions(values)
    corrected = all(f"{method}_correction" in arrays[row["run"]] for row in rows)
    figure = new_figure(figsize=(6.8, 7.0 if corrected else 4.0))
    panels = figure.subplots(2 if corrected else 1, 1, sharex=True, squeeze=False)[:, 0]
    unit = str(arrays[rows[0]["run"]].get("error_unit", "%"))
    for kind, style in (("train", "s--"), ("test", "o-")):
        mean, std = over_seeds(rows, option, values, lambda r, k=kind: float(r[f"{k}_error"]))
        panels[0].errorbar(x, mean, std, fmt=style, ms=4, capsize=2, label=f"{kind} error")
    panels[0].set_ylabel(f"error after the last epoch ({unit})")
    panels[0].set_ylim(bottom=0)
    if corrected:
        twin = panels[0].twinx()
        mean, std = over_seeds(rows, option, values, lambda r: float(r["log_spread"]))
        twin.errorbar(x, mean, std, fmt="^:", ms=4, capsize=2, color="C2", label="spread (right)")
        twin.set_ylabel("spread over the layers (decades)")
        twin.set_ylim(bottom=0)
        panels[0].plot([], [], "^:", color="C2", label="spread (right)")
        mean, _ = over_seeds(rows, option, values, lambda r: mean_correction(arrays, r, method))
        draw_pairs(panels[1], x, mean)
        panels[1].set_ylabel("RMS correction of a batch")
    panels[0].grid(alpha=0.3)
    panels[0].legend(frameon=False, fontsize=8)
    if values[0] == 0 and len(values) > 1 and (x != values).any():
        panels[-1].axvline(np.sqrt(x[0] * x[1]), color="grey", lw=0.8, ls=":")
    panels[-1].set_xscale("log" if (values >= 0).all() and values[-1] > 0 else "linear")
    panels[-1].set_xlabel(option.replace("_", " ") + (" (leftmost: 0)" if values[0] == 0 else ""))
    return save(figure, folder, "sweep")


def plot_measures(folder: Path) -> list[Path]:
    """What actions other than training have measured: mean, and a band of a standard deviation.

    A panel per measure, against the swept number or, if there is no such, a dot per seed.
    """
    rows = [row for row in read_summary(folder) if not row.get("epochs")]
    if not rows:
        return []
    options, names = swept_options(rows), list(rows[0])
    measures = names[names.index("method") + 1 :]
    swept = len(options) == 1 and all(is_number(row[options[0]]) for row in rows)
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row["method"] if swept else group_of(row, options), []).append(row)
    across, down = min(3, len(measures)), -(-len(measures) // 3)
    figure = new_figure(figsize=(PANEL[0] * across, PANEL[1] * down + 0.2 * len(groups)))
    for k, measure in enumerate(measures):
        axes = figure.add_subplot(down, across, k + 1)
        for n, (label, own) in enumerate(groups.items()):
            if swept:
                draw_over_option(axes, own, options[0], measure, label)
            else:
                draw_over_seeds(axes, own, measure, f"{label}, n = {len(own)}", f"C{n}")
        unit = " (%)" if measure in ("same_sign", "both_zero") else ""
        axes.set_ylabel(measure.replace("_", " ") + unit)
        axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=7)
    return save(figure, folder, "measures")


def draw_over_option(axes, rows, option: str, measure: str, label: str) -> None:
    values = np.array(sorted({float(row[option]) for row in rows}))
    mean, std = over_seeds(rows, option, values, lambda row: float(row[measure]))
    (line,) = axes.plot(values, mean, "o-", ms=3, label=label)
    axes.fill_between(values, mean - std, mean + std, color=line.get_color(), alpha=0.2)
    axes.set_xlabel(option.replace("_", " "))


def draw_over_seeds(axes, rows, measure: str, label: str, colour: str) -> None:
    values = np.array([float(row[measure]) for row in rows])
    mean, std = values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0
    axes.plot([int(row["seed"]) for row in rows], values, "o", ms=3, color=colour)
    axes.axhline(mean, color=colour, lw=1, label=label)
    axes.axhspan(mean - std, mean + std, color=colour, alpha=0.2, lw=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("seed")


def is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def positions(values: np.ndarray) -> np.ndarray:
    """Where the values stand on a log axis: 0 a step to the left of the smallest other one."""
    if values[0] != 0 or len(values) < 2:
        return values
    step = values[2] / values[1] if len(values) > 2 else 10.0
    return np.concatenate([[values[1] / max(step, 2.0)], values[1:]])


def mean_correction(arrays: dict, row: dict[str, str], method: str) -> np.ndarray:
    """Mean over epochs and batches of a run, times the rate, (pairs,)."""
    found = arrays[row["run"]]
    return found[f"{method}_correction"].mean((0, 1)) * found["lr_tab"]


def over_seeds(rows, option: str, values: np.ndarray, measure) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the runs with each value, (values, ...)."""
    groups = [[measure(row) for row in rows if float(row[option]) == value] for value in values]
    mean = np.array([np.mean(group, 0) for group in groups])
    std = np.array(
        [np.std(group, 0, ddof=1) if len(group) > 1 else 0 * group[0] for group in groups]
    )
    return mean, std


def plot_below(folder: Path) -> list[Path]:
    """Errors of all runs below a folder that is no run itself, side by side.

    Train (solid) and test (dashed) error per epoch; Gammell et al. 2021, fig. 2.
    """
    if any((folder / name).exists() for name in (METRICS, SUMMARY)):
        return []
    runs = sorted({path.parent for path in folder.glob(f"**/{METRICS}")})
    if not runs:
        return []
    figure = new_figure(figsize=(6.5, 4.2))
    axes = figure.subplots()
    for k, run in enumerate(runs):
        unit = str(read_arrays(run).get("error_unit", "%"))
        rows = read_table(run / METRICS)
        label = str(run.relative_to(folder))
        for kind, style in (("train", "-"), ("test", "--")):
            errors = [float(row[f"{kind}_error"]) for row in rows]
            name = f"{label} ({show(errors[-1], unit)})" if kind == "test" else None
            axes.plot([int(r["epoch"]) for r in rows], errors, style, color=f"C{k}", label=name)
    axes.set_ylim(bottom=0)
    title = "test error of the last epoch in brackets"
    finish_epochs(axes, f"error ({unit}), train solid, test dashed", title, fontsize=7)
    return save(figure, folder, "compared")


# Gradient matching ------------------------------------------------------------------------------


def plot_S(folder: Path) -> list[Path]:
    """EP's updates (dashed) and BPTT's gradients (solid) of sampled neurons, a panel per layer."""
    arrays = read_arrays(folder)
    if "layers" not in arrays:
        return []
    panels = [(layer, arrays[f"nS_{layer}"], arrays[f"dS_{layer}"]) for layer in arrays["layers"]]
    figure = draw_curves(
        panels, "neurons", r"$\nabla^{BPTT}_s$, $-\Delta^{EP}_s$ (loss per unit of $s$)", arrays
    )
    return save(figure, folder, "neurons")


def plot_T(folder: Path) -> list[Path]:
    """The same for sampled synapses: instantaneous (nT, dT) and cumulated (NT, DT)."""
    arrays = read_arrays(folder)
    if "synapses" not in arrays:
        return []
    names = arrays["synapses"]
    cumulated = [(name, arrays[f"NT_{name}"], arrays[f"DT_{name}"]) for name in names]
    steps = [(name, compute_nTdT(NT), compute_nTdT(DT)) for name, NT, DT in cumulated]
    unit = r"$\nabla^{BPTT}_W$, $-\Delta^{EP}_W$ (loss per unit of $W$"
    return [
        *save(draw_curves(steps, "synapses", f"{unit}, per step)", arrays), folder, "synapses"),
        *save(
            draw_curves(cumulated, "synapses, cumulated", f"{unit})", arrays),
            folder,
            "synapses_cumulated",
        ),
    ]


def compute_nTdT(cumulated: np.ndarray) -> np.ndarray:
    """Instantaneous process (K, n) of a cumulated one: its steps, 0 at t = 0."""
    return np.diff(cumulated, axis=0, prepend=cumulated[:1])


def draw_curves(panels, what: str, label: str, arrays: dict[str, np.ndarray]):
    """A panel per (name, gradients (K, n), updates (K, n)); one colour per curve."""
    figure = new_figure(figsize=(max(2, len(panels)) * PANEL[0], PANEL[1] + 0.7))
    for axes, (name, gradients, updates) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for k in range(min(gradients.shape[1], 10)):
            axes.plot(gradients[:, k], "-", color=f"C{k}", lw=1.2, alpha=0.75)
            axes.plot(updates[:, k], "--", color=f"C{k}", lw=1.8)
        axes.set_title(symbol(name))
        axes.set_xlabel("step $t$")
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.margins(x=0.02)
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel(label, fontsize=8)
    axes.plot([], [], "k-", lw=1.2, label="BPTT")
    axes.plot([], [], "k--", lw=1.8, label="EP")
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{what} - {settling_of(arrays)}", fontsize=8)
    return figure


def symbol(name: str) -> str:
    """W01 as a formula with its index below, Wconv0 likewise."""
    head, index = name[0], name[1:]
    inner = index if index[-1:].isalpha() or index.isdigit() else f"\\mathrm{{{index}}}"
    return f"${head}_{{{inner}}}$"


def settling_of(arrays: dict[str, np.ndarray]) -> str:
    """Whether the free phase had come to rest, as the theorem asks."""
    return str(arrays["settling"]) if "settling" in arrays else "free phase not examined"


def plot_Hist(folder: Path) -> list[Path]:
    """Relative RMSE between the two processes: mean and standard deviation per layer."""
    arrays = read_arrays(folder)
    if "rmse_S" not in arrays:
        return []
    figure = new_figure(figsize=(7.0, 3.4))
    kinds = (("S", "layers", "neurons"), ("T", "synapses", "synapses"))
    for axes, (kind, names, title) in zip(figure.subplots(1, 2), kinds, strict=True):
        mean, std = arrays[f"rmse_{kind}"].T
        labels = [symbol(name) for name in arrays[names]]
        below = np.minimum(std, mean)  # an RMSE is never negative
        colour = "#4c72b0" if kind == "S" else "#dd8452"
        axes.bar(labels, mean, yerr=[below, std], capsize=4, color=colour, width=0.6)
        for x, value in enumerate(mean):
            axes.text(x + 0.05, value, f"{value:.2g}", ha="left", va="bottom", fontsize=8)
        axes.set_title(title)
        axes.set_ylabel("relative RMSE")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    figure.suptitle(f"BPTT against EP - {settling_of(arrays)}", fontsize=8)
    return save(figure, folder, "rmse")


def compute_Hist(
    gradients: Sequence[np.ndarray], updates: Sequence[np.ndarray]
) -> tuple[list[float], list[float]]:
    """Relative RMSE between two processes: mean and standard deviation (N - 1) per layer.

    Args:
        gradients, updates: per layer (K, ...), whole curves as `--save-full` stores them.
    """
    mean, std = [], []
    for a, c in zip(gradients, updates, strict=True):
        scale = np.maximum((a * a).sum(0), (c * c).sum(0))
        error = ((a - c) ** 2).sum(0)
        values = np.sqrt(np.divide(error, scale, out=np.zeros_like(error), where=scale > 0))
        mean.append(float(values.mean()))
        std.append(float(values.std(ddof=1)))
    return mean, std


FIGURES = (
    plot_results,
    plot_accuracy,
    plot_corrections,
    plot_dW,
    plot_mse,
    plot_convergence,
    plot_weights,
    plot_graph,
    plot_decision,
    plot_angle,
    plot_S,
    plot_T,
    plot_Hist,
    plot_trials,
    plot_sweep,
    plot_measures,
    plot_below,
)


def plot_folder(folder: str | Path) -> list[Path]:
    """Draw every figure a result folder has data for; return the files written."""
    return [path for plot in FIGURES for path in plot(Path(folder))]


if __name__ == "__main__":
    for written in plot_folder(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent):
        print(written)
