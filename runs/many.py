"""The same command over seeds and values: one run folder each, and a table of what came out.

    python main.py --preset wine_5layer_swni --trials 20 --jobs 2
    python main.py --preset mnist_5layer_swni --epochs 1 --sweep bypass_p 0 0.01 0.1 --trials 3
    python main.py --resume results/.../Runs-1                # only what is missing

A folder `Runs-<n>` holds the runs, runs.json (what each is), summary.csv and summary.md.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import os
import shlex
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from signal import SIGINT
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from commandLine import parse
from commandLine.settings import Settings, fitted, is_many
from commandLine.words import expanded, typed_options
from datasets import Dataset
from errors import RunError, Stopped, UserError
from options.parser import option_name
from records.lock import lock
from records.names import ARRAYS, METRICS, PLAN, RECORD, SUMMARY
from records.record import read_options
from records.writing import write_rows, write_whole
from runFolder import RunFolder, createPath
from runs.launch import (
    Call,
    Cluster,
    Launcher,
    Processes,
    connect,
    run_one,
    sent_as_code,
    words_of_one,
)
from runs.log import DONE, FAILED, STATUS, keep_in, status_of
from runs.place import device_name, draw_figures, folder_of, shows_progress
from runs.setup import load_data

WHERE = {"--jobs", "--backend", "--scheduler"}
ASK_FOR_MANY = WHERE | {"--sweep", "--trials", "--seed", "--dry-run", "--resume"}
FULL = 1e6  # a mean from which on decimals are not written out
UNITS = {"log_spread": "decades", "seconds": "s", "rmse_neurons": "relative"}
UNITS |= {"rmse_synapses": "relative", "same_sign": "%", "both_zero": "%"}
MEASURES = ("epochs", "train_error", "test_error", "kept_test_error", "kept_epoch")
MEASURES += ("best_test_error", "best_epoch")
MEASURES += ("rmse_neurons", "rmse_synapses", "same_sign", "both_zero", "cosine")
MEASURES += ("log_spread", "seconds")


class Run(NamedTuple):
    """One command of many."""

    name: str  # of its folder
    values: dict[str, str]  # the swept options and the seed
    words: list[str]  # of the command line


def plan_runs(argv: list[str], sweeps: list[list[str]], seeds: range) -> list[Run]:
    """Every combination of the swept values with every seed, seeds running fastest.

    Args:
        argv: the command line of a single run, without --seed.
        sweeps: [option, value, value, ...] each; a value may be several words joined by commas.
    Raises:
        RunError: two runs would be the same.
    """
    names = [option_name(sweep[0]) for sweep in sweeps]
    runs: dict[str, Run] = {}
    for *chosen, seed in itertools.product(*(sweep[1:] for sweep in sweeps), seeds):
        values = dict(zip(names, chosen, strict=True)) | {"seed": str(seed)}
        words = list(argv)
        for name, value in values.items():
            words += [f"--{name}", *value.split(",")]
        label = ",".join(f"{name}={value}" for name, value in values.items()).replace("/", "_")
        if label in runs:
            raise RunError(f"--sweep asks for the run {label} twice")
        runs[label] = Run(label, values, words)
    return list(runs.values())


def split_words(argv: list[str], names: set[str]) -> tuple[list[str], list[str]]:
    """Of a command line these options with their values, and the rest."""
    parts: tuple[list[str], list[str]] = ([], [])
    rest = True
    for word in argv:
        if word.startswith("--"):
            rest = word.split("=")[0] not in names
        parts[rest].append(word)
    return parts


def write_plan(folder: Path, runs: list[Run]) -> None:
    write_whole(folder / PLAN, json.dumps([run._asdict() for run in runs], indent=2).encode())


def read_plan(folder: Path) -> list[Run]:
    try:
        return [Run(**run) for run in json.loads((folder / PLAN).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{folder / PLAN} cannot be read as a plan of runs ({error})") from None


@contextlib.contextmanager
def sole_program(folder: Path) -> Iterator[None]:
    """Keep other programs from working at the same runs.

    Raises:
        RunError: one is doing so, or the folder cannot be written.
    """
    try:
        plan = (folder / PLAN).open("a", encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write in {folder} ({error.strerror})") from None
    with plan:
        if not lock(plan, wait=False):
            raise RunError(f"another program is at work in {folder}")
        yield


def missing_runs(folder: Path, runs: list[Run], again: bool) -> list[Run]:
    """The runs that are not done; all of them, if they are to go on for more epochs."""
    return [run for run in runs if again or status_of(folder / run.name) != DONE]


def forget_statuses(folder: Path, runs: list[Run]) -> None:
    """Let runs begin as if for the first time.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        for run in runs:
            (folder / run.name / STATUS).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot write in {folder} ({error.strerror})") from None


def enter_results(
    folder: Path, runs: list[Run], results: Iterable[tuple[str, str]], quiet: bool
) -> Summary:
    """Write the summary after every run that ends, with a line and a progress bar for people.

    Args:
        results: the name and the status of each run as it ends.
    Raises:
        RunError: the summary cannot be written.
    """
    summary = Summary(folder, runs)
    summary.write()
    total, before = len(runs), len(summary.statuses)
    with tqdm(total=total, initial=before, unit="run", disable=quiet) as bar:
        for n_ended, (name, status) in enumerate(results, before + 1):
            summary.enter(name, status)
            tqdm.write(f"{n_ended} of {total}  {name}: {summary.line(name)}")
            bar.update()
            summary.write()
    return summary


class Summary:
    """What has come out of many runs: summary.csv and summary.md."""

    def __init__(self, folder: Path, runs: list[Run]) -> None:
        self.folder, self.runs = folder, runs
        self.statuses: dict[str, str] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}  # by run
        for run in runs:
            if status_of(folder / run.name) == DONE:
                self.enter(run.name, DONE)

    def enter(self, name: str, status: str) -> None:
        """Take up how a run has ended, and its results if it is done."""
        self.statuses[name] = status
        self.rows[name] = outcome(self.folder / name) if status == DONE else []

    def line(self, name: str) -> str:
        """How a run has ended, for people."""
        rows = [row for row in self.rows[name] if "test_error" in row]
        errors = [f"{row['method']} test error {float(row[result_of(row)]):.4g}" for row in rows]
        return ", ".join([self.statuses[name], *errors])

    def write(self) -> None:
        """Write both files; apart from `seconds` they depend on nothing but the commands."""
        rows = []
        for run in self.runs:
            if run.name in self.statuses:
                about = {"run": run.name, **run.values, "status": self.statuses[run.name]}
                rows += [about | row | run.values for row in self.rows[run.name] or [{}]]
        names = list(dict.fromkeys(name for row in rows for name in row)) or ["run", "status"]
        write_rows(self.folder / SUMMARY, names, rows)
        swept = list(self.runs[0].values)[:-1]
        write_whole(self.folder / "summary.md", tables(rows, swept, self.unit).encode())

    @property
    def unit(self) -> str:
        """Of the errors of trained networks: %, or of a regression; nothing if none is known."""
        units = (
            stored(self.folder / name, "error_unit") for name, rows in self.rows.items() if rows
        )
        return str(next((unit for unit in units if unit is not None), ""))

    @property
    def n_failed(self) -> int:
        return sum(status.startswith(FAILED) for status in self.statuses.values())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; none if there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def outcome(folder: Path) -> list[dict[str, Any]]:
    """What a run has brought: of training a row per method, of other actions one per network."""
    trained = training_of(folder)
    if trained:
        return trained
    return [row for path in sorted(folder.glob("**/measures.csv")) for row in read_rows(path)]


def training_of(folder: Path) -> list[dict[str, Any]]:
    """Last, best and kept epoch of a training, a row per method."""
    metrics, found = read_rows(folder / METRICS), []
    for method in dict.fromkeys(row["method"] for row in metrics):
        own = [row for row in metrics if row["method"] == method]
        tested = [row for row in own if row["test_error"]]
        best = min(tested, key=lambda row: float(row["test_error"]))
        row = {
            "method": method,
            "epochs": own[-1]["epoch"],
            "train_error": own[-1]["train_error"],
            "test_error": tested[-1]["test_error"],
            "best_test_error": best["test_error"],
            "best_epoch": best["epoch"],
            "loss": own[-1]["loss"],
            "seconds": sum(float(row["seconds"]) for row in own),
        }
        spread = stored(folder, f"{method}_log_spread")  # of the layers' corrections, per epoch
        if spread is not None:
            row["log_spread"] = float(spread.mean())
        found.append(row | kept_of(folder, method, own))
    return found


def kept_of(folder: Path, method: str, rows: list[dict[str, str]]) -> dict[str, Any]:
    """The epoch whose weights a run with --patience has kept; nothing of other runs."""
    kept = stored(folder, f"{method}_kept_epoch")
    if kept is None or not read_options(folder / RECORD).get("patience"):
        return {}
    errors = {row["epoch"]: row["test_error"] for row in rows}
    epoch = str(int(kept))
    return {"kept_epoch": epoch, "kept_test_error": errors[epoch]}


def result_of(names: Iterable[str]) -> str:
    """Of the measures that there are, the one that a training is judged by."""
    return "kept_test_error" if "kept_test_error" in names else "test_error"


def stored(folder: Path, name: str) -> np.ndarray | None:
    """An array of the results.npz of a run, or None if it has none of this name."""
    path = folder / ARRAYS
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return arrays.get(name)


def tables(rows: list[dict[str, Any]], swept: list[str], unit: str = "") -> str:
    """summary.md: mean ± standard deviation over the seeds, and of two sweeps the grid.

    Args:
        unit: of the errors.
    """
    done = [row for row in rows if "method" in row]
    shown = [name for name in MEASURES if any(name in row for row in done)]
    text = table(grouped(done, [*swept, "method"]), swept, shown, unit)
    if len(swept) == 2 and shown:
        measure = result_of(shown) if "test_error" in shown else shown[0]
        for method, own in grouped(done, ["method"]).items():
            text += f"\n{titled(measure, unit)}, {method[0]}\n\n".replace("_", " ")
            text += grid(own, *swept, measure)
    n_failed = sum(row["status"].startswith(FAILED) for row in rows)
    return text + (f"\n{n_failed} run(s) failed.\n" if n_failed else "")


def titled(measure: str, unit: str) -> str:
    """A measure with its unit; `unit` is that of the errors."""
    unit = unit if measure.endswith("error") else UNITS.get(measure, "")
    return f"{measure} ({unit})" if unit else measure


def grouped(rows: list[dict[str, Any]], names: list[str]) -> dict[tuple, list[dict[str, Any]]]:
    """Rows by what they have under these names, in their order."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def table(
    groups: dict[tuple, list[dict[str, Any]]], swept: list[str], shown: list[str], unit: str
) -> str:
    """A line for each setting and method, as markdown."""
    lines = [[*swept, "method", "n", *(titled(measure, unit) for measure in shown)]]
    lines += [[*key, str(len(own)), *(cell(own, m) for m in shown)] for key, own in groups.items()]
    return markdown(lines)


def grid(rows: list[dict[str, Any]], down: str, across: str, measure: str) -> str:
    """One measure over two swept options, a line for each value of the first."""
    columns = list(dict.fromkeys(row[across] for row in rows))
    found = grouped(rows, [down, across])
    lines = [[f"{down} \\ {across}", *columns]]
    for value in dict.fromkeys(row[down] for row in rows):
        lines.append([value, *(cell(found.get((value, c), []), measure) for c in columns)])
    return markdown(lines)


def markdown(lines: list[list[str]]) -> str:
    """A table whose first line are the headings."""
    text = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([text[0].replace("_", " "), "|" + "---|" * len(lines[0]), *text[1:]]) + "\n"


def cell(rows: list[dict[str, Any]], measure: str) -> str:
    return spread_of([float(row[measure]) for row in rows if measure in row])


def spread_of(values: list[float]) -> str:
    """Mean ± standard deviation (denominator n - 1); of those that are numbers, if not all are."""
    known = [v for v in values if math.isfinite(v)]
    if not known:
        return "-"
    mean, spread = statistics.mean(known), statistics.stdev(known) if len(known) > 1 else 0.0
    if spread and max(abs(mean), spread) < FULL:  # its first two digits say how many count
        digits = max(0, 1 - math.floor(math.log10(spread)))
        text = f"{mean:.{digits}f} ± {spread:.{digits}f}"
    else:
        text = f"{mean:.4g}" + f" ± {spread:.2g}" * (len(known) > 1)
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)})"


class Group:
    """What many runs are together: which there are, where they go, and what comes of them."""

    def runs_of(self, args: Settings, words: list[str]) -> tuple[list[Run], list[str]]:
        """The runs that a command line stands for, and the options it adds to planned ones."""
        return runs_of(args, words)

    def settings_of(self, runs: list[Run], more: list[str]) -> list[Settings]:
        """The options of the runs; those of the first one speak for the machine."""
        return [parse([*run.words, *more]) for run in runs]

    def new_folder(self, settings: list[Settings], runs: list[Run], results_dir: Path) -> Path:
        """Take a folder for the runs, and write their plan."""
        return new_group(settings[0], settings[1:], runs, results_dir)

    def go_on(self, folder: Path, settings: list[Settings]) -> None:
        """See to it that what the runs need is there, before some of them go on."""
        load_data(settings[0])

    def finish(self, folder: Path) -> str:
        """Write what has come of all runs; return what is printed of it."""
        return (folder / "summary.md").read_text(encoding="utf-8")


def run_many(args: Settings, argv: list[str], group: Group | None = None) -> None:
    """Run the action for every seed and swept value, each in a folder and a process of its own."""
    words, group = expanded(argv), group or Group()
    runs, more = group.runs_of(args, words)
    settings = group.settings_of(runs, more)
    first = settings[0]
    with contextlib.ExitStack() as stack:
        launcher, call, where = stack.enter_context(launcher_of(args))
        folder = args.resume or group.new_folder(settings, runs, args.results_dir)
        stack.enter_context(sole_program(folder))
        keep_in(folder)
        missing = missing_runs(folder, runs, again="epochs" in typed_options(more))
        if args.resume and missing:
            group.go_on(folder, settings)
        forget_statuses(folder, missing)
        here = str(Path.cwd())
        tasks = {r.name: (r.words, more, str((folder / r.name).resolve()), here) for r in missing}
        print(f"{len(runs)} runs in {folder}, {len(runs) - len(tasks)} of them done", flush=True)
        print(f"{where}, {first.threads} thread(s) each", flush=True)
        if advice := spare_cores(args, first, len(missing)):
            print(advice, flush=True)
        again = ["python", "main.py", "--resume", str(folder), *split_words(words, WHERE)[0]]
        go_on = f"go on with: {shlex.join(again)}"
        try:
            with launcher:
                results = launcher.results(call, tasks, folder)
                summary = enter_results(folder, runs, results, not shows_progress(args))
        except KeyboardInterrupt:  # a second one, which does not wait until all is saved
            raise Stopped(SIGINT, f"stopped at once; {go_on}") from None
    said = group.finish(folder)
    if not first.no_figures:
        draw_figures(folder)
    if launcher.signal_number:
        raise Stopped(launcher.signal_number, f"stopped; {go_on}")
    print(said, end="")
    if summary.n_failed == len(runs):
        raise RunError(f"all {len(runs)} runs have failed: {folder / 'summary.csv'} says why")


def spare_cores(args: Settings, first: Settings, n_runs: int) -> str:
    """A sentence if runs are done one by one, or not at all, where it might be otherwise."""
    if not n_runs:
        return "all runs are done: --epochs N, more than before, goes on with them" * bool(
            args.resume
        )
    at_once = min(n_runs, (os.cpu_count() or 1) // max(first.threads, 1))
    if args.backend != "processes" or args.jobs > 1 or at_once < 2 or first.device_label >= 0:
        return ""
    return f"hint: --jobs {at_once} does so many at a time, one on each core"


def runs_of(args: Settings, words: list[str]) -> tuple[list[Run], list[str]]:
    """The runs that a command line stands for, and the options that it adds to planned ones.

    Each has one thread unless --threads says otherwise, since sums depend on their number: what
    comes out is the same however many runs there are at a time.
    """
    words = split_words(words, ASK_FOR_MANY)[1]
    if args.resume:
        return read_plan(args.resume), words
    if args.action == "evaluate":  # which by itself writes no results
        words = split_words(words, {"--results-dir"})[1]
    if not args.threads:
        words = [*split_words(words, {"--threads"})[1], "--threads", "1"]
    seeds = range(args.seed, args.seed + args.trials)
    return plan_runs(words, args.sweep or [], seeds), []


@contextlib.contextmanager
def launcher_of(args: Settings) -> Iterator[tuple[Launcher, Call, str]]:
    """Who starts the processes of the runs, what they call, and a word to people about it."""
    if args.backend == "processes":
        yield Processes(args.jobs), run_one, f"{args.jobs} at a time on {os.cpu_count()} core(s)"
        return
    with connect(args.scheduler) as client:
        where = f"{len(client.nthreads())} worker(s) of {args.scheduler}"
        yield Cluster(client), sent_as_code(), where


def new_group(first: Settings, others: list[Settings], runs: list[Run], results_dir: Path) -> Path:
    """Take a folder for many runs, and write their plan.

    Args:
        first, others: the options of the runs.
    """
    first, data = load_data(first)
    name = group_folder(first, others, runs, data)
    folder = createPath(results_dir, name, device_name(first), "Runs")
    RunFolder(folder).copy_plotting()
    write_plan(folder, runs)
    return folder


def group_folder(first: Settings, others: list[Settings], runs: list[Run], data: Dataset) -> str:
    """Folder of many runs: that of each of them, or where they differ one named after the sweep."""
    names = {folder_of(first)}
    for args in others:
        with contextlib.suppress(UserError):  # of a run that will fail
            same = args.dataset == first.dataset
            names.add(folder_of(fitted(args, data)) if same else args.dataset)
    if len(names) == 1:
        return names.pop()
    swept = [name for name in runs[0].values if name != "seed"]
    return "_".join(["sweep", *swept, *([] if "dataset" in swept else [first.dataset])])


def print_commands(args: Settings, argv: list[str], group: Group | None = None) -> None:
    """Print the commands that would be run, a line each."""
    words = expanded(argv)
    lines = [split_words(words, {"--dry-run"})[1]]
    if is_many(args):
        runs, more = (group or Group()).runs_of(args, words)
        folder = args.resume or Path()
        if args.resume:
            runs = missing_runs(folder, runs, again="epochs" in typed_options(more))
        lines = [words_of_one(run.words, more, folder / run.name) for run in runs]
    for words in lines:
        parse(words)
    for words in lines:
        print(shlex.join(["python", "main.py", *words]))
