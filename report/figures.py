"""Which figures the report shows: learning curves, sweeps, EP beside BPTT step by step, graphs.

They are drawn from the numbers in the result folders, so that the page needs no other file.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from plotFunctions import positions
from report.experiments import Experiment, Trial, unusual, words_for
from report.reader import Graph, Plan, Run, spread_of, thinned
from systems import PRESETS
from systems.papers import paper_results

COLOURS = {"EP": 0, "BPTT": 1, "DEEP": 0, "asymEP": 2, "BrainProp": 0, "EBP": 1}
PAPER_COLOURS = {0: 3, 1: 4, 2: 3}  # of its figures beside a line of ours
CURVES = 5  # neurons or synapses drawn per layer
ROOM = 8e6  # characters that the figures may take on the page

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 42, 304, 24, 168  # edges of the plotting area
MOST_MARKS = 7  # of an axis
MOST_EDGES = 80  # of a graph, the strongest ones
RADIUS = 11  # of a neuron


# All coordinates are in the units of the drawing, WIDTH by HEIGHT, y downwards.


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


class FigureGroup(NamedTuple):
    """Charts that belong together, of one experiment or run, or the graph of a network."""

    title: str
    caption: str
    folder: Path  # where the numbers are
    charts: list[Chart]
    graphs: list[DrawnGraph]
    link: str = ""


class Budget:
    """Keeps the page small enough to open: once it is full, figures become links."""

    def __init__(self, room: float = ROOM) -> None:
        self.left = room

    def take(self, group: FigureGroup) -> bool:
        """Whether there is room for the figures of a group, which is then taken."""
        size = sum(figure.n_characters for figure in (*group.charts, *group.graphs))
        if size > self.left:
            return False
        self.left -= size
        return True


def figures_of(own: list[Experiment], measured: list[Run], plans: list[Plan]) -> list[FigureGroup]:
    """All figures of a system: of its experiments, then of its comparisons with BPTT."""
    keys: dict[str, list[Experiment]] = {}
    for one in own:
        keys.setdefault(one.key, []).append(one)
    groups = [group for each in keys.values() for group in (learning(each), *networks(each))]
    groups += [group for plan in plans if (group := sweep(plan, own))]
    groups += [group for run in measured if (group := processes(run))]
    return groups


def learning(methods: list[Experiment]) -> FigureGroup:
    """Errors per epoch of an experiment, a colour per method."""
    first = methods[0]
    folder = first.counted[0].run.folder
    lines = [line for one in methods for line in curves(one)]
    accuracy = first.system.shown_as == "accuracy"
    label = "accuracy (%)" if accuracy else error_label(first)
    charts = [chart_of(first.label, lines, "epoch", label)]
    captions = ["Band: one standard deviation over the seeds."] * any(
        len(one.counted) > 1 for one in methods
    )
    for one in methods:
        spread = one.counted[0].run.arrays.get(f"{one.method}_mse_free")
        if spread is not None and len(spread):
            charts = [squared_errors(one, spread)]
            captions = [f"Over the networks of seed {one.counted[0].seed}; band: quartiles."]
    return FigureGroup(first.label, " ".join(captions), folder, charts, [])


def networks(methods: list[Experiment]) -> list[FigureGroup]:
    """The connections of the best directed network of an experiment."""
    groups = []
    for one in methods:
        run = one.counted[0].run
        if one.method in run.graphs:
            graph = graph_of(run.graphs[one.method])
            caption = f"The sparsest network that has learnt, or the best: {graph.about}."
            groups.append(FigureGroup(one.label, caption, run.folder, [], [graph]))
    return groups


def curves(one: Experiment) -> list[Line]:
    """Test (solid) and training error (dashed) per epoch, mean over the seeds that count.

    The training data of logic operations are the test data: there one line says it all.
    """
    length = min(len(trial.rows) for trial in one.counted)
    tables = {
        kind: np.array([column(trial, f"{kind}_error", length) for trial in one.counted])
        for kind in ("test", "train")
    }  # (seeds, epochs) each
    if np.array_equal(*tables.values(), equal_nan=True):
        del tables["train"]
    epochs = column(one.counted[0], "epoch", length)
    lines = []
    for kind, table in tables.items():
        table = 100 - table if one.system.shown_as == "accuracy" else table
        mean, band = table.mean(0), {}
        if len(table) > 1:
            std = table.std(0, ddof=1)
            band = {"low": np.maximum(mean - std, 0), "high": mean + std}
        name, dashed = f"{one.method} {kind}", kind == "train"
        lines.append(Line(name, epochs, mean, colour=COLOURS[one.method], dashed=dashed, **band))
    reported = [row for row in one.results if row.metric == "test_error" and row.epoch]
    known = [(row.epoch, row.number) for row in reported if row.epoch <= epochs[-1]]
    if known:
        x, y = zip(*known, strict=True)
        colour = PAPER_COLOURS[COLOURS[one.method]]
        lines.append(Line(f"paper, {one.method} test", x, y, colour=colour, dots=True, loose=True))
    return lines


def error_label(one: Experiment) -> str:
    return "error (%)" if one.unit == "%" else one.unit


def column(trial: Trial, name: str, length: int) -> list[float]:
    return [row[name] for row in trial.rows[:length]]


def squared_errors(one: Experiment, spread: np.ndarray) -> Chart:
    """Mean squared error per epoch over directed networks; Tristany Farinha et al. 2020, fig. 1."""
    epochs, mean, low, median, high = spread.T
    colour = COLOURS[one.method]
    lines = [
        Line("median", epochs, median, low=low, high=high, colour=colour),
        Line("mean", epochs, mean, colour=colour, dashed=True),
    ]
    return chart_of(one.label, lines, "epoch", "MSE of the free phase")


def sweep(plan: Plan, own: list[Experiment]) -> FigureGroup | None:
    """Errors against the one option that a folder of many runs sweeps, the paper's beside them."""
    options = {name for values in plan.values.values() for name in values}
    chosen = [one for one in own if any(t.run.folder.parent == plan.folder for t in one.counted)]
    if len(options) != 1 or not chosen:
        return None
    option = options.pop()
    points: dict[str, dict[str, Experiment]] = {}
    for one in chosen:
        name = next(t.run.folder.name for t in one.counted if t.run.folder.parent == plan.folder)
        points.setdefault(one.method, {})[plan.values.get(name, {}).get(option, "")] = one
    series = [
        (f"{method} {kind}", measured_points(values, f"{kind}_error"), COLOURS[method], dashed)
        for method, values in points.items()
        for kind, dashed in (("test", False), ("train", True))
    ]
    first = chosen[0]
    reported = reported_points(first.label.split()[0], option, first.epoch)
    if reported:
        series.append(("paper, test", reported, 3, False))
    chart = swept_chart(option, series, error_label(first))
    caption = f"After {first.epoch} epochs, mean ± standard deviation over the seeds."
    title = f"Sweep of {option}, {first.label.split(' --')[0]}"
    return FigureGroup(title, caption, plan.folder, [chart], [])


def measured_points(values: dict[str, Experiment], name: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (0 of one seed) by the value of the option."""
    found = {}
    for value, one in values.items():
        spread = one.spread(name)
        found[value] = spread.mean, spread.std if spread.known > 1 else 0.0
    return found


def reported_points(preset: str, option: str, epoch: int) -> dict[str, tuple[float, float]]:
    """The paper's test errors of the same sweep after as many epochs."""
    names = PRESETS[preset].paper if preset in PRESETS else ()
    starts = [f"{name}, {option} " for name in names]
    return {
        row.experiment.removeprefix(start): (row.number, 0.0)
        for row in paper_results()
        for start in starts
        if row.metric == "test_error"
        and row.epoch == epoch
        and row.number is not None
        and is_number(row.experiment.removeprefix(start))
    }


def swept_chart(option: str, series: list[tuple], label: str) -> Chart:
    """Points over the values of an option: on a log axis where they span one, else in a row."""
    texts = sorted({value for _, points, *_ in series for value in points}, key=sort_key)
    numeric = all(map(is_number, texts))
    places, logarithmic = np.arange(len(texts), dtype=float), False
    title = option.replace("_", " ")
    if numeric:
        values = np.array([float(value) for value in texts])
        logarithmic = len(values) > 2 and values[0] >= 0 and values[-1] > 20 * values[1] > 0
        places = positions(values) if logarithmic else values
        title += " (leftmost: 0)" * bool(logarithmic and values[0] == 0)
    where = dict(zip(texts, places, strict=True))
    lines = []
    for name, points, colour, dashed in series:
        known = sorted(points, key=lambda value: where[value])
        mean, std = np.array([points[value] for value in known]).T
        x = [where[value] for value in known]
        ends = {"low": np.maximum(mean - std, 0), "high": mean + std}
        loose = not numeric or name.startswith("paper")
        lines.append(
            Line(name, x, mean, **ends, colour=colour, dashed=dashed, dots=True, loose=loose)
        )
    marks = None if numeric and not logarithmic else fewer(dict(zip(places, texts, strict=True)))
    return chart_of(f"Sweep of {option}", lines, title, label, marks, logarithmic)


def sort_key(text: str) -> tuple[float, str]:
    return (float(text), text) if is_number(text) else (math.inf, text)


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def processes(run: Run) -> FigureGroup | None:
    """BPTT's gradients and EP's updates step by step, their RMSE, and the angle of directed EP."""
    arrays = run.arrays
    if "layers" not in arrays:
        return None
    layers, synapses = ([str(n) for n in arrays[k]] for k in ("layers", "synapses"))
    charts = [mismatch(arrays, layers, synapses)]
    for kind, names in (("S", layers), ("T", synapses)):
        for name in names:
            gradient, update = arrays.get(f"n{kind}_{name}"), arrays.get(f"d{kind}_{name}")
            if kind == "T":
                gradient, update = arrays.get(f"NT_{name}"), arrays.get(f"DT_{name}")
            if gradient is not None and update is not None:
                charts.append(step_by_step(name, kind, gradient, update))
    charts += [angle(method, arrays[f"{method}_angle"]) for method in COLOURS
               if f"{method}_angle" in arrays]  # fmt: skip
    caption = f"{CURVES} neurons or synapses per panel, a colour each: solid BPTT, dashed EP. "
    caption += f"{arrays['settling']}." if "settling" in arrays else ""
    return FigureGroup(words_for(run.options, unusual(run)), caption, run.folder, charts, [])


def mismatch(arrays: dict[str, np.ndarray], layers: list[str], synapses: list[str]) -> Chart:
    """Relative RMSE of every layer and weight, mean and standard deviation."""
    mean, std = np.concatenate([arrays["rmse_S"], arrays["rmse_T"]]).T
    std = np.nan_to_num(std)  # of one neuron there is none
    names = dict(enumerate([*layers, *synapses]))
    ends = {"low": np.maximum(mean - std, 0), "high": mean + std}
    line = Line("relative RMSE", list(names), mean, **ends, dots=True, loose=True)
    return chart_of("Mismatch per layer", [line], "layer or weight", "relative RMSE", names)


def step_by_step(name: str, kind: str, gradient: np.ndarray, update: np.ndarray) -> Chart:
    """Curves (K, n) of one layer or weight; the synapses' are cumulated over the steps."""
    lines = []
    steps = np.arange(len(gradient))
    for k in range(min(gradient.shape[1], CURVES)):
        lines.append(Line(f"BPTT {k + 1}", steps, gradient[:, k], colour=k))
        lines.append(Line(f"EP {k + 1}", steps, update[:, k], colour=k, dashed=True))
    what = "neurons" if kind == "S" else "synapses, cumulated"
    unit = "s" if kind == "S" else "W"
    label = f"loss per unit of {unit}"
    return chart_of(f"{name}, {what}", lines, "step t", label, from_zero=False)


def angle(method: str, values: np.ndarray) -> Chart:
    """Angle between the rule's update and the way down the loss, (epochs, networks)."""
    epochs, _, low, median, high = spread_of(values).T
    line = Line(f"{method} median", epochs, median, low, high, COLOURS[method])
    return chart_of(f"{method}, angle to the way down", [line], "epoch", "degrees")
