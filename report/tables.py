"""The report over result folders: the papers' figures beside what was measured.

    python main.py --action report                     # everything below results/
    python main.py --action report results/esann other/results

Writes report.html (one file that loads nothing), report.md and report.csv into the first folder.
What stands in the tables is decided here, once for all three; page.py lays it out.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from errors import RunError
from records.writing import write_whole
from report.experiments import (
    Experiment,
    Spread,
    Trial,
    experiments_of,
    unusual,
    words_for,
)
from report.figures import Budget, FigureGroup, figures_of
from report.page import Cell, Column, Entry, Page, RunList, Section, Table, html_of, markdown_of
from report.reader import Findings, Problem, Run, counted, read_results
from systems import SYSTEMS
from systems.base import Measure, System
from systems.papers import PaperResult, paper_results, sentence

NOTHING = "-"
CSV_COLUMNS = ["system", "experiment", "method", "measure", "unit", "paper", "paper_std"]
CSV_COLUMNS += ["paper_epoch", "paper_source", "paper_confirmed", "measured", "std", "n", "partial"]
CSV_COLUMNS += ["epochs", "asked", "finished", "seconds_per_epoch", "seconds", "machine"]
CSV_COLUMNS += ["folders", "command"]


def papers() -> dict[str, System]:
    """The sections of the report, by their key in papers.csv, and a system that speaks for each."""
    return {system.paper_key: system for system in SYSTEMS}


def write_report(folders: list[Path], now: datetime.datetime | None = None) -> list[Path]:
    """Write the three files into the first folder; return their paths.

    Raises:
        RunError: no such folder, no result in any, or a file cannot be written.
    """
    found = read_results(folders)
    if not (found.runs or found.unfinished or found.unreadable):
        below = " or ".join(map(str, folders))
        raise RunError(f"there is no result folder below {below}: run an experiment first")
    now = now or datetime.datetime.now().astimezone()
    experiments = experiments_of(found.runs)
    writer = Writer(folders[0], found, experiments)
    page = writer.page(folders, now)
    paths = [folders[0] / f"report.{kind}" for kind in ("html", "md", "csv")]
    texts = (html_of(page), markdown_of(page), csv_of(experiments, writer))
    for path, text in zip(paths, texts, strict=True):
        write_whole(path, text.encode(errors="replace"))
    return paths


class Writer:
    """What the parts of a report share: its place, its numbering, its room for figures."""

    def __init__(self, place: Path, found: Findings, experiments: list[Experiment]) -> None:
        self.place, self.found, self.experiments = place, found, experiments
        self.machines: dict[str, str] = {}
        self.anchors: dict[str, str] = {}

    def link(self, folder: Path) -> str:
        """Relative address of a folder."""
        return "./" + urllib.parse.quote(os.fsencode(os.path.relpath(folder, self.place))) + "/"

    def name(self, folder: Path) -> str:
        return os.path.relpath(folder, self.place)

    def machine(self, run: Run) -> str:
        """The letter that stands for what a run ran on."""
        n = len(self.machines)
        letter = chr(ord("A") + n % 26) * (1 + n // 26)
        return self.machines.setdefault(run.machine, letter)

    def origin(self, runs: list[Run]) -> dict[str, str]:
        """Where numbers are from: machines, folders and the first command."""
        return {
            "machine": "; ".join(sorted({run.machine for run in runs})),
            "folders": "; ".join(self.name(run.folder) for run in runs),
            "command": runs[0].command,
        }

    def anchor(self, key: str) -> str:
        """Where the runs of an experiment are listed."""
        return self.anchors.setdefault(key, f"runs-{len(self.anchors) + 1}")

    def page(self, folders: list[Path], now: datetime.datetime) -> Page:
        found = self.found
        figures = {key: self.figures(key) for key in papers()}
        budget = Budget([groups for groups in figures.values() if groups])
        shown = {key: budget.taken(groups, key) for key, groups in figures.items()}
        sections = [s for key in papers() if (s := self.section(key, shown[key]))]
        n_keys = len({one.key for one in self.experiments})
        others = sum(run.options["action"] != "train" for run in found.runs)
        parts = [counted(len(found.runs), "run folder"), counted(n_keys, "experiment")]
        parts += [f"{counted(others, 'measurement')} of gradients"] * (others > 0)
        parts += [f"{counted(len(found.unfinished), 'folder')} unfinished"]
        parts += [f"{len(found.unreadable)} that could not be read"]
        return Page(
            date=now.strftime("%Y-%m-%d %H:%M"),
            folders=[str(folder) for folder in folders],
            summary=", ".join(parts),
            machines=[(letter, name) for name, letter in self.machines.items()],
            sections=sections,
            unfinished=[self.problem(one) for one in found.unfinished],
            unreadable=[self.problem(one) for one in found.unreadable],
        )

    def problem(self, one: Problem) -> tuple[Cell, str]:
        link = self.link(one.folder) if one.folder.exists() else ""
        return Cell(self.name(one.folder), link), one.reason

    def runs_of(self, key: str) -> tuple[list[Experiment], list[Run]]:
        """The experiments of a system, and its runs that measure gradients."""
        others = [run for run in self.found.runs if run.options["action"] != "train"]
        own = [one for one in self.experiments if one.system.paper_key == key]
        return own, [run for run in others if run.system.paper_key == key]

    def figures(self, key: str) -> list[FigureGroup]:
        """All that could be drawn of a system."""
        groups = figures_of(*self.runs_of(key), self.found.plans)
        return [group._replace(link=self.link(group.folder)) for group in groups]

    def section(self, key: str, figures: list[FigureGroup]) -> Section | None:
        """The section of a system, or None if nothing of it was run."""
        own, measured = self.runs_of(key)
        if not own and not measured:
            return None
        sources: list[str] = []
        table = self.table(key, own, sources) if own else None
        general = [row for row in paper_results() if (row.system, row.experiment) == (key, "all")]
        return Section(
            anchor=key,
            title=papers()[key].title,
            paper=papers()[key].reference,
            said=sentence(general) if general else "",
            table=table,
            sources=sources,
            matching=self.matching(measured) if measured else None,
            runs=self.run_lists(own, measured),
            figures=[group for group in figures if group.shown],
            omitted=[group for group in figures if not group.shown],
        )

    def table(self, key: str, own: list[Experiment], sources: list[str]) -> Table:
        """The paper's figures beside ours, a row per experiment and method."""
        measures = papers()[key].measures
        paired = {m.name for m in measures if is_reported(key, m.name)}
        known = paired.union(*(values for one in own for values in one.measured))
        measures = [m for m in measures if m.name in known]
        columns = [Column("Experiment"), Column("Method")]
        columns += [Column(m.title, m.name in paired) for m in measures]
        columns += map(Column, ("n", "Epochs", "s per epoch", "Total", "Machine"))
        rows = []
        for one in own:
            unit = "" if one.unit == "%" else f"errors: {one.unit}"
            cells = [Cell(one.label, f"#{self.anchor(one.key)}", unit), Cell(one.method)]
            for measure in measures:
                reported = one.reported(measure.name)
                if measure.name in paired:
                    cells.append(paper_cell(one, reported, sources))
                cells.append(self.measured_cell(one, measure, reported))
            rows.append(cells + self.circumstances(one))
        return Table(columns, rows)

    def measured_cell(
        self, one: Experiment, measure: Measure, reported: PaperResult | None
    ) -> Cell:
        spread = one.spread(measure.name)
        if not spread.n:
            return Cell(NOTHING)
        alone = len(one.counted) == 1
        link = self.link(one.counted[0].run.folder) if alone else f"#{self.anchor(one.key)}"
        partial = reported and reported.number is not None and one.is_partial(reported)
        note = f"{spread.known} of {spread.n} seeds" if 0 < spread.known < spread.n else ""
        return Cell(shown(spread, measure, one.unit) + " ‡" * bool(partial), link, note)

    def circumstances(self, one: Experiment) -> list[Cell]:
        """Number of seeds, epochs, seconds and machines."""
        networks = one.counted[0].run.options["num_net"]
        n = f"{len(one.counted)} × {networks} networks" if networks > 1 else str(len(one.counted))
        notes = [f"{len(one.waiting)} unfinished"] * bool(one.waiting)
        notes += [f"{len(one.repeated)} repeated"] * bool(one.repeated)
        per_epoch, total = one.seconds()
        machines = sorted({self.machine(trial.run) for trial in one.counted})
        fewer = 0 < one.asked < one.published_epochs
        return [
            Cell(n, note=", ".join(notes)),
            Cell(epochs_of(one), note=f"published: {one.published_epochs}" if fewer else ""),
            Cell(
                f"{per_epoch:.3g}" if per_epoch < 100 else f"{per_epoch:.0f}",
                note=papers_time(one, "seconds_per_epoch"),
            ),
            Cell(duration(total), note=papers_time(one, "wall_clock")),
            Cell(" ".join(machines), "#machines"),
        ]

    def matching(self, runs: list[Run]) -> Table:
        """How far EP's updates and BPTT's gradients agree, a row per run."""
        titles = ("Measured on", "Action", "RMSE of the neurons", "RMSE of the synapses")
        titles += ("Right sign, %", "Both zero, %", "Cosine", "Free phase", "Seed", "Machine")
        rows = []
        for run in runs:
            arrays, options = run.arrays, run.options
            cells = [Cell(label_of(run), f"#{self.anchor(str(run.folder))}")]
            cells.append(Cell(options["action"]))
            for name in ("rmse_S", "rmse_T"):
                values = [f"{v:.3f}" for v in arrays[name][:, 0]] if name in arrays else []
                text = " ".join(values)
                cells.append(Cell(text, self.link(run.folder)) if text else Cell(NOTHING))
            for name, digits in (("same_sign", 1), ("both_zero", 1), ("cosine", 3)):
                values = arrays[name].reshape(-1, arrays[name].shape[-1]).mean(0)
                cells.append(Cell(" ".join(f"{v:.{digits}f}" for v in values)))
            cells.append(Cell(settled(run)))
            cells += [Cell(str(options["seed"])), Cell(self.machine(run), "#machines")]
            rows.append(cells)
        return Table([Column(title) for title in titles], rows)

    def run_lists(self, own: list[Experiment], measured: list[Run]) -> list[RunList]:
        """The folders and commands behind the numbers."""
        lists: dict[str, tuple[str, dict[Path, tuple[Run, list[str]]]]] = {}
        for one in own:
            _, runs = lists.setdefault(one.key, (f"{one.label}, {counted(one.asked, 'epoch')}", {}))
            for trial, state in states(one):
                text = f"{one.method} {outcome(one, trial)}{state}"
                runs.setdefault(trial.run.folder, (trial.run, []))[1].append(text)
        for run in measured:
            lists[str(run.folder)] = (label_of(run), {run.folder: (run, [run.title])})
        return [
            RunList(self.anchor(key), label, [self.entry(*one) for one in runs.values()])
            for key, (label, runs) in lists.items()
        ]

    def entry(self, run: Run, texts: list[str]) -> Entry:
        started = datetime.datetime.fromtimestamp(run.started, datetime.UTC)
        parts = [f"machine {self.machine(run)}", f"commit {run.commit[:10]}"]
        parts += [f"started {started:%Y-%m-%d %H:%M} UTC"] * bool(run.started)
        text = f"seed {run.options['seed']}: {', '.join(texts)}"
        return Entry(text, self.link(run.folder), ", ".join(parts), run.command)


def is_reported(system: str, metric: str) -> bool:
    return any(row.system == system and row.metric == metric for row in paper_results())


def paper_cell(one: Experiment, reported: PaperResult | None, sources: list[str]) -> Cell:
    """The paper's figure, with the number of its source."""
    if reported is None:
        return Cell(NOTHING)
    source = f"{reported.source} ({reported.confirmed})"
    if source not in sources:
        sources.append(source)
    mark = " †" if reported.is_marked else ""
    other = reported.epoch and reported.epoch != one.epoch
    note = f"epoch {reported.epoch}" if other else ""
    text = f"{reported.figure}{mark}"
    return Cell(text, "", note, sources.index(source) + 1, words=reported.number is None)


def papers_time(one: Experiment, name: str) -> str:
    reported = one.reported(name)
    return f"paper: {reported.text}" if reported else ""


def shown(spread: Spread, measure: Measure, unit: str) -> str:
    """Mean ± standard deviation, with % if it is a share."""
    unit = unit if measure.unit is None else measure.unit
    digits = 4 if unit == "half squared error" else measure.digits
    if not spread.known:
        return "none"
    text = f"{spread.mean:.{digits}f}"
    if spread.known > 1:
        text += f" ± {spread.std:.{digits}f}"
    return f"{text} %" if unit == "%" else text


def epochs_of(one: Experiment) -> str:
    """Epochs that were done, of those that were asked for."""
    if not one.finished:
        return f"{one.epoch} of {one.asked}"
    done = sorted({trial.done for trial in one.counted})
    text = str(done[0]) if len(done) == 1 else f"{done[0]} to {done[-1]}"
    return text if done[0] == one.asked else f"{text} of at most {one.asked}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def states(one: Experiment) -> list[tuple[Trial, str]]:
    """Every run of an experiment, and why it does not count if so."""
    found = [(trial, "" if trial.finished else " (unfinished)") for trial in one.counted]
    found += [(trial, " (unfinished, not counted)") for trial in one.waiting]
    return found + [(trial, " (same seed again, not counted)") for trial in one.repeated]


def outcome(one: Experiment, trial: Trial) -> str:
    """The first measure of a run, and after how many epochs."""
    values = trial.measured(trial.done)
    measure = next(m for m in one.system.measures if m.name in values)
    text = shown(Spread(values[measure.name], math.nan, 1, 1), measure, one.unit)
    return f"{measure.title.lower()} {text} after {counted(trial.done, 'epoch')}"


def label_of(run: Run) -> str:
    return words_for(run.options, unusual(run))


def settled(run: Run) -> str:
    """Whether the free phase had come to rest before the two processes were compared."""
    if "settled" not in run.arrays:  # of old runs it is not recorded
        return NOTHING
    return "settled" if run.arrays["settled"] else "not settled"


def csv_of(experiments: list[Experiment], writer: Writer) -> str:
    """A row per experiment, method and measure, unrounded; then EP beside BPTT per layer."""
    text = io.StringIO()
    table = csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for one in experiments:
        runs = [trial.run for trial in one.counted]
        per_epoch, total = one.seconds()
        about = {"system": one.system.paper_key, "experiment": one.label, "method": one.method}
        about |= {"epochs": one.epoch, "asked": one.asked, "finished": one.finished}
        about |= {"seconds_per_epoch": per_epoch, "seconds": total} | writer.origin(runs)
        for measure in one.system.measures:
            spread = one.spread(measure.name)
            if not spread.n:
                continue
            unit = one.unit if measure.unit is None else measure.unit
            row = {"measure": measure.name, "unit": unit, "n": spread.known}
            row |= {"measured": number(spread.mean), "std": number(spread.std)}
            table.writerow(about | row | reported_columns(one, one.reported(measure.name)))
    for run in writer.found.runs:
        about = {
            "system": run.system.paper_key,
            "experiment": label_of(run),
            "n": 1,
        } | writer.origin([run])
        for name, mean, std in mismatches(run):
            measured = {"measured": number(mean), "std": number(std)}
            table.writerow(about | {"measure": f"relative RMSE of {name}"} | measured)
    return text.getvalue()


def reported_columns(one: Experiment, paper: PaperResult | None) -> dict[str, Any]:
    """What a row says of the paper's figure."""
    if paper is None:
        return {}
    names = {"paper": paper.value, "paper_std": paper.std, "paper_epoch": paper.epoch}
    names |= {"paper_source": paper.source, "paper_confirmed": paper.confirmed}
    return names | {"partial": one.is_partial(paper)}


def mismatches(run: Run) -> Iterator[tuple[str, float, float]]:
    """Layer or weight, mean and standard deviation of the RMSE between EP and BPTT."""
    for measure, names in (("rmse_S", "layers"), ("rmse_T", "synapses")):
        if measure in run.arrays:
            for name, (mean, std) in zip(run.arrays[names], run.arrays[measure], strict=True):
                yield str(name), float(mean), float(std)


def number(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""
