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

COLOURS = {"EP": "#1f77b4", "BPTT": "#d62728"}
PANEL = (3.4, 2.9)  # inches


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, none if there is no such file."""
    path = folder / "metrics.csv"
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


def plot_results(folder: Path) -> list[Path]:
    """Train (dashed) and test (solid) error per epoch, one colour per method."""
    rows = read_metrics(folder)
    if not rows:
        return []
    figure = new_figure(figsize=(6.0, 4.0))
    axes = figure.subplots()
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        epochs = [int(row["epoch"]) for row in own]
        for kind, style in (("train", "--"), ("test", "-")):
            errors = [float(row[f"{kind}_error"]) for row in own]
            label = f"{method} {kind} ({errors[-1]:.2f} %)"
            marker = "o" if len(own) < 16 else None
            axes.plot(
                epochs, errors, style, color=COLOURS.get(method), label=label, marker=marker, ms=3
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel("error (%)")
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(title="last epoch in brackets", frameon=False)
    return save(figure, folder, "results")


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


FIGURES = (plot_results, plot_S, plot_T, plot_Hist)


def plot_folder(folder: str | Path) -> list[Path]:
    """Draw every figure a result folder has data for; return the files written."""
    return [path for plot in FIGURES for path in plot(Path(folder))]


if __name__ == "__main__":
    for written in plot_folder(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent):
        print(written)
