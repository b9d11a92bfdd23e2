"""Learning rules compared: error against cost, per epoch, and against what was swept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from drawing.style import LAYER_MARKERS, Arrays, log_if_wide, plain_number
from drawing.sweeps import Points, draw_sweep

# Of rules that are compared, told apart by colour-blind eyes, too (Okabe & Ito 2008).
RULES = {
    "EP": "#0072B2", "coupled": "#D55E00", "contrastive": "#009E73", "BPTT": "#CC79A7",
    "BrainProp": "#E69F00", "backpropagation": "#56B4E9", "directed EP": "#000000",
}  # fmt: skip
OTHERS = "#c4c4c4"  # of the contestants that a panel is not about


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


def colours_of(rules: Sequence[str]) -> dict[str, str]:
    """The colour of each rule: its own whoever else is there; others share those that are left."""
    others = [rule for rule in rules if rule not in RULES]
    left = [colour for rule, colour in RULES.items() if rule not in rules] or [*RULES.values()]
    return RULES | {rule: left[k % len(left)] for k, rule in enumerate(others)}


def contestants_of(arrays: Arrays) -> list[Contestant]:
    """The rows of a comparison, as report/comparison.py stores them; of what was not tested NaN."""
    names, rules, datasets = (arrays[f"compared_{k}"] for k in ("contestant", "rule", "dataset"))
    swept = [str(name) for name in arrays["compared_swept"]]
    values = arrays[f"compared_{swept[0]}"] if len(swept) == 1 else [""] * len(names)
    numbers, sets = (list(dict.fromkeys(map(str, x))) for x in (names, datasets))
    colours = colours_of(list(dict.fromkeys(map(str, rules))))
    return [
        Contestant(
            1 + numbers.index(name), str(name), str(data), str(value),
            colours[str(rule)], LAYER_MARKERS[sets.index(data)], *tables,
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
    room = {"hspace": 0.06 if figure.get_layout_engine() else 0.3}  # which makes room for titles
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
    for axes in panels[len(numbers) - across : len(numbers)]:  # none is below them
        axes.tick_params(labelbottom=True)
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
