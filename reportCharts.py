"""Geometry of the small charts and graphs of the report; the page's template draws them as SVG.

    chart = chart_of("P-1h", [Line("test", epochs, errors)], "epoch", "error (%)")

All coordinates are in the units of the drawing, WIDTH by HEIGHT, y downwards.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from resultReader import Graph, thinned

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 42, 304, 24, 168  # edges of the plotting area
MOST_MARKS = 7  # of an axis
MOST_EDGES = 80  # of a graph, the strongest ones
RADIUS = 11  # of a neuron


@dataclasses.dataclass(frozen=True)
class Line:
    """What a chart shows: points (n,), and optionally the ends of a band or of error bars."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    colour: int = 0
    dashed: bool = False
    dots: bool = False  # points with error bars, joined unless `loose`
    loose: bool = False


class Drawn(NamedTuple):
    """A line in the units of the drawing."""

    name: str
    colour: int
    dashed: bool
    path: str  # of a polyline
    band: str  # of a polygon
    dots: list[tuple[float, float]]
    bars: list[tuple[float, float, float]]  # x and both ends


class Tick(NamedTuple):
    place: float
    label: str


class Chart(NamedTuple):
    title: str
    about: str  # for who does not see it
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Drawn]

    @property
    def n_characters(self) -> int:
        """Roughly what it takes on the page."""
        return 1500 + sum(len(v.path) + len(v.band) + 60 * len(v.dots) for v in self.lines)


class Edge(NamedTuple):
    x1: float
    y1: float
    x2: float
    y2: float
    negative: bool
    opacity: float


class DrawnGraph(NamedTuple):
    about: str
    nodes: list[tuple[float, float, str, str]]  # x, y, label, kind
    edges: list[Edge]
    height: float

    @property
    def n_characters(self) -> int:
        return 1500 + 130 * (len(self.nodes) + len(self.edges))


def chart_of(
    title: str,
    lines: list[Line],
    x_label: str,
    y_label: str,
    marks: dict[float, str] | None = None,
    logarithmic: bool = False,
    from_zero: bool = True,
) -> Chart:
    """A chart of lines over a common axis.

    Args:
        marks: what to write at which x; left out: round numbers.
        logarithmic: the x axis; all x are above 0.
        from_zero: the y axis begins at 0.
    """
    lines = [finite(line) for line in lines]
    scale = np.log10 if logarithmic else np.asarray
    x_low, x_high = limits([scale(line.x) for line in lines])
    if marks and not logarithmic:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    y_low, y_high = limits([v for k in lines for v in (k.y, k.low, k.high) if v is not None])
    if from_zero:
        y_low, y_high = min(0.0, y_low), max(0.0, y_high)
    y_ticks = ticks(y_low, y_high)
    y_low, y_high = min(y_low, y_ticks[0]), max(y_high, y_ticks[-1])

    def place_x(x: Sequence[float]) -> np.ndarray:
        return LEFT + (np.asarray(scale(x)) - x_low) / (x_high - x_low) * (RIGHT - LEFT)

    def place_y(y: Sequence[float]) -> np.ndarray:
        return BOTTOM - (np.asarray(y) - y_low) / (y_high - y_low) * (BOTTOM - TOP)

    if marks is None:
        whole = all(float(v).is_integer() for line in lines for v in line.x)
        marks = {v: f"{v:g}" for v in ticks(x_low, x_high, whole=whole)}
    return Chart(
        title,
        f"{title}: {y_label} over {x_label}; " + ", ".join(map(in_words, lines)),
        x_label,
        y_label,
        [Tick(tenth(place_x(x)), label) for x, label in marks.items()],
        [Tick(tenth(place_y(y)), f"{y:g}") for y in y_ticks],
        [drawn(line, place_x, place_y) for line in lines],
    )


def finite(line: Line) -> Line:
    """The line without points that are no numbers, and without more than can be seen."""
    columns = [np.asarray(v, float) for v in (line.x, line.y, line.low, line.high) if v is not None]
    table = np.array(columns)[:, np.isfinite(columns).all(0)]
    table = table[:, thinned(table.shape[1])]
    low, high = table[2:] if len(table) > 2 else (None, None)
    return dataclasses.replace(line, x=table[0], y=table[1], low=low, high=high)


def limits(values: list[Sequence[float]]) -> tuple[float, float]:
    """Smallest and largest value; never the same."""
    table = np.concatenate([np.empty(0), *values])
    low, high = (float(table.min()), float(table.max())) if table.size else (0.0, 1.0)
    if low < high:
        return low, high
    return (low - 0.5, high + 0.5) if low else (0.0, 1.0)


def ticks(low: float, high: float, most: int = 5, whole: bool = False) -> list[float]:
    """Round numbers between two others, at most `most` steps apart; whole ones if asked."""
    rough = max((high - low) / most, float(whole))
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def in_words(line: Line) -> str:
    return f"{line.name} ends at {line.y[-1]:.4g}" if len(line.y) else f"{line.name} without values"


def drawn(line: Line, place_x, place_y) -> Drawn:
    x, y = place_x(line.x), place_y(line.y)
    band, bars = "", []
    if line.low is not None:
        low, high = place_y(line.low), place_y(line.high)
        if line.dots:
            bars = [tuple(map(tenth, v)) for v in zip(x, low, high, strict=True)]
        else:
            band = path(np.append(x, x[::-1]), np.append(low, high[::-1]))
    dotted = line.dots or len(x) == 1
    dots = [(tenth(a), tenth(b)) for a, b in zip(x, y, strict=True)] if dotted else []
    points = "" if line.loose else path(x, y)
    return Drawn(line.name, line.colour, line.dashed, points, band, dots, bars)


def fewer(marks: dict[float, str]) -> dict[float, str]:
    """No more marks than have room on the x axis."""
    step = math.ceil(len(marks) / MOST_MARKS)
    return {x: label for k, (x, label) in enumerate(marks.items()) if k % step == 0}


def tenth(value: float) -> float:
    return round(float(value), 1)


def path(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def graph_of(graph: Graph) -> DrawnGraph:
    """A directed network: inputs left, outputs right; the stronger a connection the more opaque."""
    places = node_places(graph.kinds)
    height = max(y for _, y in places) + RADIUS + 6
    weights = np.where(np.isfinite(graph.weights), graph.weights, 0.0)
    n_edges = int(np.count_nonzero(weights))
    strongest = np.argsort(-np.abs(weights), axis=None, kind="stable")[: min(n_edges, MOST_EDGES)]
    largest = np.abs(weights).max() or 1.0
    edges = []
    for i, j in zip(*np.unravel_index(strongest, weights.shape), strict=True):
        strength = abs(weights[i, j]) / largest
        edges.append(
            Edge(*shortened(places[i], places[j]), weights[i, j] < 0, round(strength**0.5, 2))
        )
    shown = f", the {len(edges)} strongest drawn" if len(edges) < n_edges else ""
    labels = ["+1" if kind == "one" else str(k) for k, kind in enumerate(graph.kinds)]
    nodes = [(*p, label, kind) for p, label, kind in zip(places, labels, graph.kinds, strict=True)]
    about = f"{len(nodes)} neurons, {n_edges} connections{shown}"
    return DrawnGraph(about, nodes, edges, height)


def node_places(kinds: list[str]) -> list[tuple[float, float]]:
    """A column of inputs, a zigzag of hidden neurons, a column of outputs."""
    columns = {"input": 30, "one": 30, "hidden": 145, "output": 290}
    counts = dict.fromkeys(columns.values(), 0)
    totals = {x: sum(columns[kind] == x for kind in kinds) for x in counts}
    tallest = max(totals.values())
    step = min(40, 400 / tallest)
    places = []
    for kind in kinds:
        column = columns[kind]
        k = counts[column]
        counts[column] += 1
        bend = 45 * (k % 2) if kind == "hidden" else 0
        y = RADIUS + 6 + step * (k + (tallest - totals[column]) / 2)
        places.append((float(column + bend), tenth(y)))
    return places


def shortened(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, ...]:
    """A line from rim to rim of two neurons, a little to the right so that both ways show."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    ux, uy = dx / length, dy / length
    side = 2.5
    x1, y1 = start[0] + RADIUS * ux - side * uy, start[1] + RADIUS * uy + side * ux
    x2, y2 = end[0] - (RADIUS + 4) * ux - side * uy, end[1] - (RADIUS + 4) * uy + side * ux
    return tenth(x1), tenth(y1), tenth(x2), tenth(y2)
