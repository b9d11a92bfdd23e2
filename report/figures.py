"""Which figures the report shows: learning curves, graphs, sweeps, EP beside BPTT step by step.

The functions of drawing/ draw them, as those of the result folders; here they become text of the
page, as SVG, so that it needs no other file.
"""

from __future__ import annotations

import html
import io
import math
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drawing.directed import draw_angle, draw_graph, draw_spread, in_graph
from drawing.learning import Curve, draw_errors, draw_learning, style_of, told_apart
from drawing.matching import NEURONS_UNIT, SYNAPSES_UNIT, draw_mismatch, draw_processes
from drawing.style import STYLES, colour_of, from_zero, marker_of, new_figure
from drawing.sweeps import Points, as_number, draw_sweep
from report.experiments import (
    Experiment,
    Trial,
    label_for,
    preset_swept,
    unusual,
    words_for,
)
from report.reader import Graph, Plan, Run, counted, thinned
from systems import METHODS, PRESETS
from systems.papers import paper_results

CURVES = 5  # neurons or synapses drawn per layer
ROOM = 8e6  # characters that the figures may take on the page
MOST_DRAWINGS = 96  # a drawing takes a tenth of a second
SIZE = (4.4, 2.9)  # inches
TEXT = {"svg.fonttype": "none", "font.family": "sans-serif", "font.sans-serif": "DejaVu Sans"}


class Drawing(NamedTuple):
    """One figure: what draws it on an empty one."""

    title: str  # above it, where a group has several
    about: str  # for who does not see it
    draw: Callable[[Any], None]
    size: tuple[float, float] = SIZE


class FigureGroup(NamedTuple):
    """Figures that belong together, of one experiment or run."""

    title: str
    caption: str
    folder: Path  # where the numbers are
    drawings: list[Drawing]
    link: str = ""
    shown: list[tuple[str, str]] | None = None  # once drawn: titles and SVG


class Budget:
    """Keeps the page small and soon made: where there is more to draw, each section has a share."""

    def __init__(self, sections: list[list[FigureGroup]]) -> None:
        n_drawings = sum(len(group.drawings) for groups in sections for group in groups)
        share = 1 / max(len(sections), 1)
        self.room = share * ROOM
        self.most = MOST_DRAWINGS if n_drawings <= MOST_DRAWINGS else int(share * MOST_DRAWINGS)

    def taken(self, groups: list[FigureGroup], section: str) -> list[FigureGroup]:
        """The groups of a section; those that have room with their titles and SVG."""
        room, n_drawn, done = self.room, 0, []
        for group in groups:
            shown, size = None, 0
            if room > 0 and n_drawn + len(group.drawings) <= self.most:
                shown = drawn(group, f"{section}-{n_drawn}")
                size = sum(len(text) for _, text in shown or ())
            if size > room:
                shown = None
            if shown:
                room, n_drawn = room - size, n_drawn + len(shown)
            done.append(group._replace(shown=shown))
        return done


def drawn(group: FigureGroup, name: str) -> list[tuple[str, str]] | None:
    """Titles and SVG of a group, or None where its numbers cannot be drawn."""
    try:
        return [(one.title, svg_of(one, f"{name}-{k}")) for k, one in enumerate(group.drawings)]
    except Exception:  # whatever is wrong with them: the page shows the others
        return None


def svg_of(drawing: Drawing, name: str) -> str:
    """A figure as text that stands in a page; equal numbers under an equal name give equal text.

    Args:
        name: sets what the figure refers to inside itself apart from that of other figures.
    """
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context(TEXT | {"svg.hashsalt": name}):
        figure = new_figure(layout=None, figsize=drawing.size)
        drawing.draw(figure)
        make_room(figure)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return inline(text.getvalue(), drawing.about)


def make_room(figure) -> None:
    """Margins that hold titles and labels, and the legend above the axes, which keep their size."""
    width, height = figure.get_size_inches()
    first = figure.axes[0]
    handles, labels = first.get_legend_handles_labels()
    top = 0.3 if first.get_title() else 0.1
    if labels:
        columns = 1 if max(map(len, labels)) > 24 else 2
        more = 0.17 * math.ceil(len(labels) / columns)
        top, height = top + more, height + more
        figure.set_figheight(height)
        figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, 1), ncols=columns,
                      frameon=False, fontsize=8, borderaxespad=0.1)  # fmt: skip
    rows = 1
    for axes in figure.axes:  # a letter is 0.6 of its size
        size = axes.yaxis.label.get_size()
        lines = textwrap.wrap(axes.get_ylabel(), int((height - top - 0.5) * 120 / size))
        axes.set_ylabel("\n".join(lines))
        rows = max(rows, len(lines))
    twin = len(figure.axes) > 1 and figure.axes[-1].yaxis.get_label_position() == "right"
    left, right = 0.75 + 0.17 * rows, 0.6 if twin else 0.12
    left, bottom, right = (left, 0.5, right) if first.axison else (0.1, 0.1, 0.1)
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, wspace=0.3
    )


def inline(text: str, about: str) -> str:
    """An SVG file as a part of a page: what the page has already and what nobody sees left out."""
    size = re.search(r'width="[^"]*" height="[^"]*" viewBox="[^"]*"', text)[0]
    body = text[text.index("</defs>") + len("</defs>") : text.rindex("</svg>")]
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    body = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda found: shortened(found[0]), body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r">\s+<", "><", re.sub(r"\s+", " ", body))
    body = body.replace(" font-family: 'DejaVu Sans', sans-serif;", "")
    body = body.replace("'DejaVu Sans', ", "").replace("#000000", "currentColor")
    return f'<svg {size} role="img" aria-label="{html.escape(about)}">{body}</svg>'


def shortened(text: str) -> str:
    """Its numbers with two decimals: a hundredth of a point is seen by nobody."""
    return re.sub(r"(\.\d\d)\d+", r"\1", text)


def figures_of(own: list[Experiment], measured: list[Run], plans: list[Plan]) -> list[FigureGroup]:
    """All figures of a system: sweeps, its experiments, then its comparisons with BPTT."""
    keys: dict[str, list[Experiment]] = {}
    for one in own:
        keys.setdefault(one.key, []).append(one)
    groups = [group for plan in plans if (group := sweep(plan, own))]
    groups += [group for each in keys.values() for group in (learning(each), *networks(each))]
    groups += [group for run in measured if (group := processes(run))]
    return groups


def learning(methods: list[Experiment]) -> FigureGroup:
    """Errors per epoch of an experiment, a colour per method."""
    first = methods[0]
    trial = first.counted[0]
    spread = trial.run.arrays.get(f"{first.method}_mse_free")
    if spread is not None and len(spread):
        drawing = squared_errors(first, spread)
        caption = f"Over the networks of seed {trial.seed}."
        return FigureGroup(first.label, caption, trial.run.folder, [drawing])
    drawn = [curve for one in methods for curve in curves(one)]
    label = "accuracy (%)" if first.system.shown_as == "accuracy" else f"error ({first.unit})"

    def draw(figure) -> None:
        axes = figure.subplots()
        if first.system.shown_as == "accuracy":
            draw_learning(axes, drawn, label)
        else:
            draw_errors(axes, drawn, first.unit)

    caption = "Last epoch in brackets."
    if any(len(one.counted) > 1 for one in methods):
        caption += " Band: one standard deviation over the seeds."
    about = in_words(f"{first.label}: {label} over epoch", drawn)
    return FigureGroup(first.label, caption, trial.run.folder, [Drawing("", about, draw)])


def in_words(title: str, drawn: list[Curve]) -> str:
    ends = [f"{c.label} ends at {np.atleast_2d(c.values)[:, -1].mean():.4g}" for c in drawn]
    return f"{title}; {', '.join(ends)}"


def curves(one: Experiment) -> list[Curve]:
    """Test and training error per epoch of the seeds that count, and the paper's test errors."""
    length = min(len(trial.rows) for trial in one.counted)
    tested = np.flatnonzero(np.isfinite(column(one.counted[0], "test_error", length)))
    tested = tested if len(tested) else np.arange(length)
    chosen, colour = tested[thinned(len(tested))], colour_of(one.method)
    marker = marker_of(one.method)
    epochs = column(one.counted[0], "epoch", length)[chosen]
    tables = {
        kind: np.array([column(trial, f"{kind}_error", length)[chosen] for trial in one.counted])
        for kind in ("test", "train")
    }  # (seeds, epochs) each
    drawn = []
    for kind, table in told_apart(tables).items():
        table = 100 - table if one.system.shown_as == "accuracy" else table
        style = style_of(kind)
        drawn.append(Curve(f"{one.method} {kind}", epochs, table, colour, style, marker))
    reported = [row for row in one.results if row.metric == "test_error" and row.epoch]
    known = [(row.epoch, row.number) for row in reported if row.epoch <= epochs[-1]]
    if known:
        x, y = np.array(known, float).T
        drawn.append(Curve(f"paper, {one.method} test", x, y, colour, "D"))
    return drawn


def column(trial: Trial, name: str, length: int) -> np.ndarray:
    """(epochs,); what is no number, or was not measured, is not drawn."""
    values = np.array([row.get(name, np.nan) for row in trial.rows[:length]], float)
    return np.where(np.isfinite(values), values, np.nan)


def squared_errors(one: Experiment, spread: np.ndarray) -> Drawing:
    """Mean squared error per epoch over directed networks."""

    def draw(figure) -> None:
        axes = figure.subplots()
        draw_spread(axes, spread, colour_of(one.method))
        axes.set_ylabel("MSE of the free phase")
        from_zero(axes)

    about = f"{one.label}: MSE of the free phase over epoch; median ends at {spread[-1, 3]:.4g}"
    return Drawing("", about, draw)


def networks(methods: list[Experiment]) -> list[FigureGroup]:
    """The connections of the best directed network of an experiment."""
    groups = []
    for one in methods:
        run = one.counted[0].run
        if one.method in run.graphs:
            drawing = connections(run.graphs[one.method])
            caption = f"The sparsest network that has learnt, or the best: {drawing.about}."
            groups.append(FigureGroup(one.label, caption, run.folder, [drawing]))
    return groups


def connections(graph: Graph) -> Drawing:
    """A directed network, positive weights blue."""
    weights = np.where(np.isfinite(graph.weights), graph.weights, 0.0)
    about = f"{len(graph.kinds)} neurons, {in_graph(weights)}"

    def draw(figure) -> None:
        draw_graph(figure.subplots(), weights, graph.kinds)

    return Drawing("", about, draw, (SIZE[0], 3.4))


def sweep(plan: Plan, own: list[Experiment]) -> FigureGroup | None:
    """Errors against the one option that a folder of many runs sweeps, the paper's beside them."""
    options = {name for values in plan.values.values() for name in values}
    names = {one: name for one in own if (name := name_in(plan, one))}
    if len(options) != 1 or not names:
        return None
    option, first = options.pop(), next(iter(names))
    presets = {preset_swept(one.counted[0].run, one.method, option) for one in names}
    points: dict[str, dict[str, Experiment]] = {}
    for one, name in names.items():
        points.setdefault(one.method, {})[plan.values.get(name, {}).get(option, "")] = one
    series = [
        Points(
            f"{method} {kind}",
            measured_points(values, f"{kind}_error"),
            colour_of(method),
            marker_of(method) + STYLES[kind],
        )
        for method, values in points.items()
        for kind in ("test", "train")
    ]
    reported = reported_points(presets.pop(), option, first.epoch) if len(presets) == 1 else {}
    if reported:
        series.append(Points("paper, test", reported, colour_of(first.method), "D"))

    def draw(figure) -> None:
        axes = figure.subplots()
        draw_sweep(axes, option, series)
        axes.set_ylabel(f"error ({first.unit})")
        from_zero(axes)

    title = f"Sweep of {option}, {label_for(first.counted[0].run, first.method, option)}"
    caption = f"After {counted(first.epoch, 'epoch')}, mean ± standard deviation over the seeds."
    about = f"{title}: error ({first.unit}) over {option}; {', '.join(p.label for p in series)}"
    return FigureGroup(title, caption, plan.folder, [Drawing("", about, draw)])


def name_in(plan: Plan, one: Experiment) -> str:
    """The folder of an experiment among those of a plan, or nothing."""
    folders = [trial.run.folder for trial in (*one.counted, *one.repeated)]
    return next((folder.name for folder in folders if folder.parent == plan.folder), "")


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
        and as_number(row.experiment.removeprefix(start)) < math.inf
    }


def processes(run: Run) -> FigureGroup | None:
    """BPTT's gradients and EP's updates step by step, their RMSE, and the angle of directed EP."""
    arrays = run.arrays
    if "layers" not in arrays:
        return None
    drawings = [mismatch(arrays)]
    kinds = (("neurons", "layers", "nS", "dS", NEURONS_UNIT),)
    kinds += (("synapses, cumulated", "synapses", "NT", "DT", f"{SYNAPSES_UNIT})"),)
    for title, names, gradient, update, label in kinds:
        panels = [
            (name, arrays[f"{gradient}_{name}"], arrays[f"{update}_{name}"])
            for name in arrays[names]
            if {f"{gradient}_{name}", f"{update}_{name}"} <= set(arrays)
        ]
        if panels:
            drawings.append(step_by_step(title, panels, label))
    angles = {method: arrays.get(f"{method}_angle") for method in METHODS}
    drawings += [angle(method, one) for method, one in angles.items() if one is not None]
    caption = f"{CURVES} neurons or synapses per panel, a colour each: solid BPTT, dashed EP. "
    caption += f"{arrays['settling']}." if "settling" in arrays else ""
    return FigureGroup(words_for(run.options, unusual(run)), caption, run.folder, drawings)


def mismatch(arrays: dict[str, np.ndarray]) -> Drawing:
    """Relative RMSE of every layer and weight."""
    names = [*arrays["layers"], *arrays["synapses"]]
    means = np.concatenate([arrays["rmse_S"], arrays["rmse_T"]])[:, 0]
    said = [f"{name} {mean:.3g}" for name, mean in zip(names, means, strict=True)]
    about = f"Relative RMSE between EP and BPTT: {', '.join(said)}"

    def draw(figure) -> None:
        draw_mismatch(figure, arrays)

    return Drawing("Mismatch per layer", about, draw, (6.6, 2.9))


def step_by_step(title: str, panels: list[tuple], label: str) -> Drawing:
    """Curves (K, n) of every layer or weight; the synapses' are cumulated over the steps."""

    def draw(figure) -> None:
        steps = thinned(len(panels[0][1]))
        fewer = [(name, gradient[steps], update[steps]) for name, gradient, update in panels]
        draw_processes(figure, fewer, label, steps, CURVES)

    names = ", ".join(str(name) for name, *_ in panels)
    about = f"{title}: gradients of BPTT and updates of EP of {names}, step by step"
    return Drawing(title, about, draw)


def angle(method: str, values: np.ndarray) -> Drawing:
    """Angle between the rule's update and the way down the loss, (epochs, networks)."""

    def draw(figure) -> None:
        axes, epochs = figure.subplots(), thinned(len(values))
        draw_angle(axes, epochs + 1, values[epochs], colour_of(method))

    return Drawing("Angle", f"{method}, angle to the way down over epoch", draw)
