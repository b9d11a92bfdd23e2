"""Every row of the papers' tables, measured again: what is kept of the runs, and the page of them.

    kept = Kept.read(Path("docs/reproduction"))
    kept.enter(read_results([Path("results/reproduction")]).runs, rows_of([]))
    kept.write()

Which rows there are, and over how many seeds, is in systems/reproduction.csv. Kept are text files:
runs.csv has a line per run and method, measures.csv what came out, and a file per row its learning
curves. The page is made from them alone, so that it can be written again without running anything.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from errors import RunError, UserError
from records.writing import write_rows
from report.experiments import Spread, Trial, spread_over, stands_for, unusual, words_for
from report.reader import Run, is_finished
from systems import PRESETS
from systems.papers import PaperResult, results_of

TABLE = Path(__file__).resolve().parent.parent / "systems" / "reproduction.csv"
PAPERS = {  # as they are named on the command line: their sections of papers.csv
    "ernoult": ("ernoult",),
    "gammell": ("gammell",),
    "directed": ("deep", "asymEP"),
    "brainprop": ("brainprop",),
}
RUNS = ("row", "method", "seed", "epochs", "asked", "finished", "seconds", "machine", "commit")
RUNS += ("options",)
MEASURES = ("row", "method", "seed", "measure", "value")
PARTS = 10  # a first look takes one of them of the epochs, the seeds and the samples
Key = tuple[str, str, int]  # row, method, seed


class Row(NamedTuple):
    """What is to be measured."""

    paper: str  # a key of PAPERS
    name: str
    seeds: int  # from the one of its options on
    options: str
    why: str  # why it differs from the paper, as far as that is known
    first: str = ""  # further options of a first look at it, which measures less

    @property
    def words(self) -> list[str]:
        return shlex.split(f"{self.options} {self.first}")

    @property
    def first_seed(self) -> int:
        words = self.words
        return int(words[words.index("--seed") + 1]) if "--seed" in words else 0

    @property
    def methods(self) -> list[str]:
        return stands_for(self.options).methods

    @property
    def epochs(self) -> int:
        """Of the whole row."""
        return stands_for(self.options).epochs

    @property
    def epochs_run(self) -> int:
        """Those, or the ones of a first look."""
        return stands_for(shlex.join(self.words)).epochs

    @property
    def keys(self) -> list[Key]:
        """What there is once it is measured."""
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        return [(self.name, method, seed) for seed in seeds for method in self.methods]

    @property
    def reported(self) -> list[PaperResult]:
        """What the paper says of it."""
        preset = self.name.split(",")[0]
        own = results_of(self.name)
        return own or (results_of(*PRESETS[preset].paper) if preset in PRESETS else [])

    @property
    def place(self) -> tuple[str, float] | None:
        """Of rows that differ in the value of one option, which these are, and the value."""
        found = re.fullmatch(r"(.+, \w+) ([\d.]+)", self.name)
        return (found[1], float(found[2])) if found else None

    @property
    def file(self) -> str:
        """Of its learning curves."""
        return self.name.replace(", ", "_").replace(" ", "_") + ".csv"

    def matches(self, run: Run) -> bool:
        """Whether a run, of any seed and of as many epochs or fewer, is one of this row."""
        asked = stands_for(shlex.join(self.words))
        same = not asked.others(run.options) and run.options["num_net"] == asked.networks
        return same and (run.options["epochs"] or 1) <= asked.epochs


@functools.cache
def all_rows() -> tuple[Row, ...]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(
            Row(line["paper"], line["row"], int(line["seeds"]), line["options"], line["why"])
            for line in csv.DictReader(file)
        )


def rows_of(papers: list[str]) -> list[Row]:
    """The rows of some papers, or of all if none is named.

    Raises:
        UserError: there is no such paper.
    """
    for name in papers:
        if name not in PAPERS:
            raise UserError(f"{name!r} is no paper: choose from {', '.join(PAPERS)}")
    return [row for row in all_rows() if not papers or row.paper in papers]


def series_of(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by the series that they are of; those of none are a series of one by their name."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.place[0] if row.place else row.name, []).append(row)
    return found


@dataclasses.dataclass
class Kept:
    """What is kept of all runs, by row, method and seed."""

    folder: Path
    runs: dict[Key, dict[str, Any]]  # as RUNS
    measures: dict[Key, dict[str, float]]
    curves: dict[Key, list[dict[str, Any]]]  # rows of metrics.csv

    @classmethod
    def read(cls, folder: Path) -> Kept:
        """What a folder keeps; nothing if it does not exist.

        Raises:
            RunError: a file of it cannot be read.
        """
        kept = cls(folder, {}, {}, {})
        try:
            for line in table_of(folder / "runs.csv"):
                line["finished"] = line["finished"] == "True"
                for name, kind in (("epochs", int), ("asked", int), ("seconds", float)):
                    line[name] = kind(line[name])
                kept.runs[key_of(line)] = line
            for line in table_of(folder / "measures.csv"):
                kept.measures.setdefault(key_of(line), {})[line["measure"]] = float(line["value"])
            for row in all_rows():
                for line in table_of(folder / row.file):
                    key = row.name, line.pop("method"), int(line.pop("seed"))
                    numbers = {name: float(text) for name, text in line.items() if text}
                    numbers["epoch"] = int(numbers["epoch"])
                    kept.curves.setdefault(key, []).append(numbers)
        except (OSError, KeyError, ValueError, csv.Error) as error:
            raise RunError(f"what {folder} keeps cannot be read ({error!r})") from None
        return kept

    def enter(self, runs: list[Run], rows: list[Row]) -> list[Key]:
        """Keep the runs that are of a row, have come further than what is kept, or are of other

        options than that was, which the row has no more; return which.
        """
        entered = []
        for run in sorted(runs, key=lambda run: run.started):
            row = next((row for row in rows if row.matches(run)), None)
            for method in run.rows if row and run.options["action"] == "train" else ():
                key, trial = (row.name, method, run.options["seed"]), Trial(run, method)
                known, line = self.runs.get(key), line_of(key, trial, row)
                same = known is not None and known["options"] == line["options"]
                if same and known["epochs"] >= trial.done:
                    continue
                self.runs[key] = line
                values = trial.measured(trial.done)
                self.measures[key] = {k: v for k, v in values.items() if math.isfinite(v)}
                self.curves[key] = trial.rows
                entered.append(key)
        return entered

    def write(self) -> None:
        """Write all of it, in the order of the rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        order = {row.name: place for place, row in enumerate(all_rows())}
        keys = sorted(self.runs, key=lambda key: (order.get(key[0], len(order)), *key[1:]))
        write_rows(self.folder / "runs.csv", list(RUNS), [self.runs[key] for key in keys])
        found = [
            dict(zip(MEASURES, (*key, name, value), strict=True))
            for key in keys
            for name, value in self.measures[key].items()
        ]
        write_rows(self.folder / "measures.csv", list(MEASURES), found)
        for row in all_rows():
            own = [key for key in keys if key[0] == row.name]
            lines = [
                {"method": method, "seed": seed, **line}
                for (_, method, seed) in own
                for line in self.curves[row.name, method, seed]
            ]
            if lines:
                names = list(dict.fromkeys(name for line in lines for name in line))
                write_rows(self.folder / row.file, names, lines)

    def missing(self, row: Row) -> list[Key]:
        """What of a row has not been measured to its end, or to that of a first look."""
        return [key for key in row.keys if not self.is_whole(key, row)]

    def is_whole(self, key: Key, row: Row) -> bool:
        run = self.runs.get(key)
        if run is None:
            return False
        return run["finished"] or (row.first != "" and run["epochs"] >= row.epochs_run)

    def spread(self, row: Row, method: str, measure: str) -> Spread:
        """Of what came out, over the seeds that have come furthest."""
        return spread_over(
            [
                self.measures[k][measure]
                for k in self.used(row, method)
                if measure in self.measures[k]
            ]
        )

    def has(self, row: Row) -> bool:
        """Whether there is a run of a row."""
        return any(self.used(row, method) for method in row.methods)

    def curves_of_row(self, row: Row) -> list[dict[str, Any]]:
        """The longest learning curve of a row; nothing if it has not been run."""
        own = (self.curves[key] for key in self.curves if key[0] == row.name)
        return max(own, key=len, default=[])

    def used(self, row: Row, method: str) -> list[Key]:
        """The seeds whose runs are finished; if there are none, those that have come furthest."""
        own = [key for key in self.runs if key[:2] == (row.name, method)]
        whole = [key for key in own if self.runs[key]["finished"]]
        most = max((self.runs[key]["epochs"] for key in own), default=0)
        return whole or [key for key in own if self.runs[key]["epochs"] == most]


def table_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a csv file; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def key_of(line: dict[str, Any]) -> Key:
    line["seed"] = int(line["seed"])
    return line["row"], line["method"], line["seed"]


def line_of(key: Key, trial: Trial, row: Row) -> dict[str, Any]:
    """What runs.csv says of a run."""
    run = trial.run
    whole = (run.options["epochs"] or 1) >= row.epochs
    names = [name for name in unusual(run) if name != "data_dir"]
    return dict(zip(("row", "method", "seed"), key, strict=True)) | {
        "epochs": trial.done,
        "asked": row.epochs,
        "finished": whole and is_finished(run, trial.method),
        "seconds": round(sum(one["seconds"] for one in trial.rows), 3),
        "machine": run.machine,
        "commit": run.commit[:10],
        "options": words_for(run.options, names),
    }
