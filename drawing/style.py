"""What all figures share: one table of colours and styles, legends, ticks and symbols.

A result folder gets the modules of this room and plotFunctions.py in one file, so nothing else of
the project is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]  # of results.npz
BLUE, RED, ORANGE, GREEN = "#1f77b4", "#d62728", "#e07b00", "#2f9e44"
# Of rules: blue is a local one (orange another one), red follows the gradient itself.
COLOURS = {"EP": BLUE, "DEEP": BLUE, "asymEP": ORANGE, "BrainProp": BLUE}
COLOURS |= {"BPTT": RED, "EBP": RED, "BP": RED}
MARKERS = {BLUE: "o", RED: "s", ORANGE: "D", GREEN: "^"}  # of rules, where colours tell runs
STYLES = {"train": "--", "test": "-", "validation": ":"}  # of curves, by the data
WIDE = 10.0  # from the lowest to the highest error that a linear axis shows
LAYERS, LAYER_MARKERS = "viridis", "osD^vP<>X*"  # in the order of the layers
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


def symbol(name: str) -> str:
    """W01 as a formula with its index below, Wconv0 likewise."""
    head, index = name[0], name[1:]
    inner = index if index[-1:].isalpha() or index.isdigit() else f"\\mathrm{{{index}}}"
    return f"${head}_{{{inner}}}$"
