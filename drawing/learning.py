"""Learning curves: errors over epochs, of several seeds the mean in a band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from drawing.style import STYLES, from_zero, log_if_wide, whole_numbers


def show(error: float, unit: str) -> str:
    """An error as people read it."""
    return f"{error:.2f} %" if unit == "%" else f"{error:.4f}"


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
