"""The page of the campaign, from what is kept of it: a table per paper, and what is left to run.

write_page(Kept.read(Path("docs/reproduction")), Path("docs/reproduction.md"))
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drawing.learning import Curve, draw_errors, style_of, told_apart
from drawing.style import colour_of, from_zero, marker_of, new_figure
from records.writing import write_whole
from report.experiments import Spread, stands_for
from report.reproduction import PAPERS, PARTS, Kept, Key, Row, rows_of, series_of
from report.tables import duration, shown
from systems import SYSTEMS
from systems.base import Measure, System
from systems.listing import times
from systems.papers import PaperResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 3  # side by side in a figure
SHORT = 5  # lines of a paper in the short table
BEGIN, END = "<!-- written by scripts/reproduce.sh: -->", "<!-- until here -->"
SIGMAS = 2.0  # standard deviations within which two means are called the same
INTRODUCTION = f"""\
Every row of the papers' tables, measured again by this program. `bash scripts/reproduce.sh` runs
what is missing and writes this page from the files in [reproduction](reproduction/runs.csv) (and
[what came out of each run](reproduction/measures.csv)); no number is typed by hand. The papers'
figures are theirs; * marks one that was not confirmed in the paper's own text.

**Same** means: within {SIGMAS:g} standard deviations of the paper's mean, its own and ours
combined. Where neither is known there is the difference only. **Partial** means: fewer epochs than
published, beside the paper's figure after as many where it gives one; beside its last one there is
the difference only. Errors are those of the last epoch, of BrainProp those of the best one. n is
the number of seeds, ± one standard deviation. Times are of one run on one core, often beside other
programs.
"""


class Line(NamedTuple):
    """One measure of a row beside the paper's."""

    row: Row
    method: str
    measure: Measure
    unit: str
    paper: PaperResult | None
    here: Spread
    verdict: str


def system_of_paper(paper: str) -> System:
    """A system that speaks for a paper."""
    return next(system for system in SYSTEMS if system.paper_key == PAPERS[paper][0])


def paper_result(row: Row, method: str, measure: str, epoch: int) -> PaperResult | None:
    """The paper's figure: after as many epochs, if there is one, else the last."""
    own = [r for r in row.reported if (r.method, r.metric) == (method, measure)]
    then = [r for r in own if r.epoch in (None, epoch)]
    return (then or own or [None])[-1]


def verdict(paper: PaperResult | None, here: Spread, partial: str = "", judged: bool = True) -> str:
    """What follows from the paper's figure and ours; only the difference if they are not alike."""
    if paper is None or paper.number is None:
        return partial
    apart = here.mean - paper.number
    if not judged:
        return f"{partial}: {apart:+.2g}"
    known = [float(v) for v in (paper.std or "nan", here.std) if math.isfinite(float(v))]
    if not known:
        said = f"{apart:+.2g}, no spread known"
    else:
        within = abs(apart) <= SIGMAS * math.hypot(*known)
        said = "same" if within else f"different ({apart:+.2g})"
    return f"{partial}: {said}" if partial else said


def unit_of(row: Row, measure: str) -> str:
    """Of an error: that of the paper's figure, % where it gives none."""
    return next((r.unit for r in row.reported if r.metric == measure and r.unit), "%")


def lines_of(kept: Kept, row: Row) -> list[Line]:
    """A line per method and measure that the paper reports, or else of the first measure."""
    found = []
    for method in row.methods:
        used = kept.used(row, method)
        if not used:
            continue
        epochs = max(kept.runs[key]["epochs"] for key in used)
        whole = all(kept.runs[key]["finished"] for key in used)
        partial = "" if whole else f"partial, {epochs} of {row.epochs} epochs"
        some = any("--train-samples" in kept.runs[key]["options"] for key in used)
        partial += " of some samples" * some
        first = True
        for measure in system_of_paper(row.paper).measures:
            here = kept.spread(row, method, measure.name)
            paper = paper_result(row, method, measure.name, epochs)
            if here.known and (first or (paper is not None and paper.number is not None)):
                unit = unit_of(row, measure.name) if measure.unit is None else measure.unit
                as_many = paper is not None and paper.epoch == epochs
                said = verdict(paper, here, partial, whole or (as_many and not some))
                found.append(Line(row, method, measure, unit, paper, here, said))
                first = False
    return found


def table_of_paper(kept: Kept, paper: str, machines: dict[str, str]) -> list[str]:
    """The rows of a paper as lines of Markdown; none if nothing of it is measured."""
    lines = [line for row in rows_of([paper]) if not row.place for line in lines_of(kept, row)]
    if not lines:
        return []
    titles = "| row | rule | measure | paper | here | n | epochs | time | |"
    text = [titles, "|" + "---|" * 9]
    before = None
    for line in lines:
        row, again = line.row, before == (line.row.name, line.method)
        before = row.name, line.method
        epochs, took = ("", "") if again else length_of(kept, line, machines)
        cells = [
            "" if again else f"[{row.name}](reproduction/{row.file})",
            "" if again else line.method,
            line.measure.title.lower(),
            figure_of(line.paper),
            value_of(line),
            n_of(line),
            epochs,
            took,
            line.verdict,
        ]
        text.append("| " + " | ".join(cells) + " |")
    return text


def table_of_series(kept: Kept, name: str, rows: list[Row], machines: dict[str, str]) -> list[str]:
    """Rows that differ in the value of one option, a line each; none if none is measured."""
    option = name.split(", ")[-1]
    titles = [option, "rule", "test error, paper", "here", "training error, paper", "here"]
    titles += ["n", "epochs", "time", "test error"]
    text = ["", f"### {name.replace(', ', ' against ')}", ""]
    text += [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    begun = len(text)
    for line in (line for row in rows for line in lines_of(kept, row)):
        if line.measure.name != "test_error":
            continue
        row, train = line.row, kept.spread(line.row, line.method, "train_error")
        reported = paper_result(row, line.method, "train_error", row.epochs)
        cells = [
            f"[{row.place[1]:g}](reproduction/{row.file})" if row.place else row.name,
            line.method,
            figure_of(line.paper),
            value_of(line),
            figure_of(reported),
            value_of(line._replace(here=train)) if train.known else "",
            n_of(line),
            *length_of(kept, line, machines),
            line.verdict,
        ]
        text.append("| " + " | ".join(cells) + " |")
    return text if len(text) > begun else []


def length_of(kept: Kept, line: Line, machines: dict[str, str]) -> tuple[str, str]:
    """Epochs of the runs of a line; how long they took on average, and on which machines."""
    runs = [kept.runs[key] for key in kept.used(line.row, line.method)]
    epochs = sorted({run["epochs"] for run in runs})
    letters = " ".join(sorted({machines[run["machine"]] for run in runs}))
    took = duration(sum(run["seconds"] for run in runs) / len(runs))
    return " to ".join(map(str, dict.fromkeys((epochs[0], epochs[-1])))), f"{took} {letters}"


def value_of(line: Line) -> str:
    """What was measured here, with its spread and its unit."""
    text = shown(line.here, line.measure, line.unit).replace(" %", "")
    return text + " %" * (line.unit == "%")


def n_of(line: Line) -> str:
    """Over how many seeds, or networks of one seed, a measure is taken."""
    networks = stands_for(line.row.options).networks
    return f"{line.here.known} x {networks} networks" if networks > 1 else str(line.here.known)


def figure_of(paper: PaperResult | None) -> str:
    if paper is None:
        return ""
    return paper.figure + " *" * (paper.is_marked)


def left(kept: Kept, row: Row, timed: Kept) -> tuple[int, float]:
    """Runs of a row that are still to be done, and the seconds they will take; 0: unknown.

    timed: where runs are kept that say how long an epoch takes; for rows of which it has none, the
        times of the presets do.
    """
    missing, most = kept.missing(row), epochs_expected(row)
    done = [kept.runs[key]["epochs"] for key in missing if key in kept.runs]
    epochs = most * len(missing) - sum(min(n, most) for n in done)
    each = seconds_per_epoch(timed, row) / len(row.methods) * share_of_samples(row)
    return len({seed for _, _, seed in missing}), epochs * each


def epochs_expected(row: Row) -> int:
    """Epochs of a run; of a training that may end early those of the paper's, if it says them."""
    reported = [r.number for r in row.reported if r.metric == "epochs" and r.number]
    return min([row.epochs_run, *map(math.ceil, reported)])


def seconds_per_epoch(timed: Kept, row: Row) -> float:
    """Of all methods of a row, over all samples; 0: unknown."""
    used = [key for method in row.methods for key in timed.used(row, method)]
    if used:
        each = [timed.runs[key]["seconds"] / timed.runs[key]["epochs"] for key in used]
        return sum(each) / len(each) * len(row.methods)
    words = row.words
    preset = words[words.index("--preset") + 1] if "--preset" in words else row.name
    if preset not in times():
        return 0.0
    share = len(row.methods) / len(stands_for(f"--preset {preset}").methods)
    return share * times()[preset].seconds / times()[preset].epochs


def share_of_samples(row: Row) -> float:
    """The part of the training samples that a first look takes."""
    return 1 / PARTS if "--train-samples" in row.words else 1.0


def what_is_left(kept: Kept, rows: list[Row], timed: Kept | None = None) -> list[str]:
    """The rows that are not measured to their end, with an estimate of what each and all take."""
    text, sum_of_all = [], 0.0
    for name, series in series_of(rows).items():
        parts = [left(kept, row, timed or kept) for row in series]
        n, seconds = sum(n for n, _ in parts), sum(seconds for _, seconds in parts)
        if n:
            sum_of_all += seconds
            takes = f"about {duration(seconds)} on one core" if seconds else "not timed yet"
            text.append(f"- {name}: {n} of {sum(row.seeds for row in series)} runs, {takes}")
    return [*text, f"- all: about {duration(sum_of_all)} on one core"] if text else []


def curves_of(kept: Kept, row: Row) -> list[Curve]:
    """Test and training error of a row over the epochs, of each method over its seeds."""
    curves = []
    for method in row.methods:
        used = kept.used(row, method)
        n = min((len(kept.curves[key]) for key in used), default=0)
        if not n:
            continue
        epochs = [line["epoch"] for line in kept.curves[used[0]][:n]]
        tables = {kind: errors_of(kept, used, n, kind) for kind in ("test", "train")}
        for kind, errors in told_apart(tables).items():
            look = colour_of(method), style_of(kind), marker_of(method)
            curves.append(Curve(f"{method} {kind}", epochs, errors, *look))
    return curves


def errors_of(kept: Kept, keys: list[Key], n: int, kind: str) -> np.ndarray:
    """The first n training or test errors of some runs, (runs, n)."""
    return np.array([[line[f"{kind}_error"] for line in kept.curves[key][:n]] for key in keys])


def draw_paper(kept: Kept, paper: str) -> Figure | None:
    """Learning curves of a paper's rows in small panels, its test errors as dotted lines.

    Of rows that differ in the value of an option a panel of their last errors against it.
    """
    all_series = series_of(rows_of([paper])).items()
    series = {n: rows for n, rows in all_series if rows[0].place and any(map(kept.has, rows))}
    alone = [row for row in rows_of([paper]) if not row.place]
    shown_rows = [row for row in alone if len(kept.curves_of_row(row)) > 1]
    if not shown_rows and not series:
        return None
    n_panels = len(shown_rows) + len(series)
    n_lines = -(-n_panels // PANELS)
    figure = new_figure(figsize=(3.6 * PANELS, 3.0 * n_lines))
    panels = figure.subplots(n_lines, PANELS, squeeze=False).flatten()
    for axes, row in zip(panels, shown_rows, strict=False):
        unit = unit_of(row, "test_error")
        draw_errors(axes, curves_of(kept, row), unit)
        axes.set_title(row.name, fontsize=9)
        for method in row.methods:
            paper_says = paper_result(row, method, "test_error", row.epochs)
            known = paper_says is not None and paper_says.number is not None
            if known and kept.used(row, method):
                axes.axhline(paper_says.number, ls=":", lw=1.2, color=colour_of(method))
        axes.legend(fontsize=6, frameon=False)
    for axes, (name, rows) in zip(panels[len(shown_rows) :], series.items(), strict=False):
        draw_series(axes, kept, name, rows)
    for axes in panels[n_panels:]:
        axes.set_axis_off()
    return figure


def draw_series(axes, kept: Kept, name: str, rows: list[Row]) -> None:
    """The last errors of rows against the option in whose value they differ, the paper's dotted."""
    title, option = name.split(", ")
    lines = [(row.place[1], line) for row in rows if row.place for line in lines_of(kept, row)]
    for method, kind in itertools.product(rows[0].methods, ("test", "train")):
        measured = (method, f"{kind}_error")
        own = [(v, line) for v, line in lines if (line.method, line.measure.name) == measured]
        look = {"color": colour_of(method), "ms": 3.5, "lw": 1.4, "marker": marker_of(method)}
        look |= {"mfc": "none"} if kind == "train" else {}
        means = [line.here.mean for _, line in own]
        axes.plot([v for v, _ in own], means, style_of(kind), label=f"{method} {kind}", **look)
        papers = [(v, line.paper.number) for v, line in own if line.paper and line.paper.number]
        if papers and kind == "test":
            axes.plot(*zip(*papers, strict=True), ":", lw=1.2, color=look["color"])
    positive = [value for value, _ in lines if value > 0]
    axes.set_xscale("symlog", linthresh=min(positive, default=1.0))
    axes.set(xlabel=option, ylabel=f"error ({unit_of(rows[0], 'test_error')})")
    from_zero(axes)
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6, frameon=False)


def draw_figures(kept: Kept) -> dict[str, str]:
    """Draw the learning curves of each paper beside its csv files; their names for the page."""
    found = {}
    for paper in PAPERS:
        figure = draw_paper(kept, paper)
        if figure is not None:
            figure.savefig(kept.folder / f"{paper}.png", dpi=110)
            found[paper] = f"{kept.folder.name}/{paper}.png"
    return found


def page_of(kept: Kept, figures: dict[str, str] | None = None) -> str:
    """The page as Markdown; `figures`: by paper, the file of its learning curves."""
    names = sorted({run["machine"] for run in kept.runs.values()})
    machines = {name: chr(ord("A") + k) for k, name in enumerate(names)}
    hours = sum(run["seconds"] for run in kept.runs.values()) / 3600
    rows = rows_of([])
    whole = sum(not kept.missing(row) for row in rows)
    text = ["# Reproduction", "", INTRODUCTION]
    text += [f"Measured in full: {whole} of {len(rows)} rows. Core hours so far: {hours:.1f}.", ""]
    for paper in PAPERS:
        table = table_of_paper(kept, paper, machines)
        for name, series in series_of(rows_of([paper])).items():
            table += table_of_series(kept, name, series, machines) if series[0].place else []
        if not table:
            continue
        text += [f"## {system_of_paper(paper).title}", "", system_of_paper(paper).reference, ""]
        text += [*table, ""]
        reasons = [f"- {row.name}: {row.why}" for row in rows_of([paper]) if row.why]
        text += ["What differs, and why:", "", *reasons, ""] if reasons else []
        if figures and paper in figures:
            text += [
                f"![Learning curves, the paper's test errors dotted]({figures[paper]})",
                "",
                "*Test error (solid), training error (dashed), the paper's test error (dotted).*",
                "",
            ]
    text += ["## Machines", "", *(f"- {letter}: {name}" for name, letter in machines.items()), ""]
    missing = what_is_left(kept, rows)
    text += ["## Left to run", "", *missing, ""] if missing else []
    return "\n".join(text)


def short_table(kept: Kept) -> list[str]:
    """A few rows of each paper, in Markdown.

    With a figure of the paper, if there are such; of every data set before a second one of any;
    whole ones before partial ones.
    """
    text = ["| paper | row | rule | measure | paper | here | n | |", "|" + "---|" * 8]
    for paper in PAPERS:
        found = [line for row in rows_of([paper]) for line in lines_of(kept, row)]
        known = [line for line in found if line.paper is not None and line.paper.number is not None]
        firsts: dict[tuple[str, str], Line] = {}
        for line in known or found:
            firsts.setdefault((line.row.name, line.method), line)
        whole_first = sorted(firsts.values(), key=lambda line: line.verdict.startswith("partial"))
        by_data: dict[str, list[Line]] = {}
        for line in whole_first:
            by_data.setdefault(stands_for(line.row.options).options["dataset"], []).append(line)
        in_turn = [
            line for lines in itertools.zip_longest(*by_data.values()) for line in lines if line
        ]
        for k, line in enumerate(in_turn[:SHORT]):
            cells = [
                "" if k else system_of_paper(paper).reference,
                line.row.name,
                line.method,
                line.measure.title.lower(),
                figure_of(line.paper),
                value_of(line),
                n_of(line),
                line.verdict,
            ]
            text.append("| " + " | ".join(cells) + " |")
    return text


def write_short_table(kept: Kept, path: Path) -> None:
    """Put the short table between its two marks in a text; nothing is done where they are not."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        parts = [before + BEGIN, "", *short_table(kept), "", END + after]
        write_whole(path, "\n".join(parts).encode())


def write_page(kept: Kept, path: Path) -> None:
    """Write the page, and the figures in it beside the csv files."""
    write_whole(path, page_of(kept, draw_figures(kept)).encode())
