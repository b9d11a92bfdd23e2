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


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, none if there is no such file."""
    path = folder / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


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


def plot_folder(folder: str | Path) -> list[Path]:
    """Draw every figure a result folder has data for; return the files written."""
    return plot_results(Path(folder))


if __name__ == "__main__":
    for written in plot_folder(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent):
        print(written)
