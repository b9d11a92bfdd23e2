"""Over the values of an option that was swept: means with error bars."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


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
