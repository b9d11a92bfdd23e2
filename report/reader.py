"""Reads result folders for the report: what was asked, what came out, what is wrong with the rest.

    found = read_results([Path("results")])
    found.runs, found.unfinished, found.unreadable

Nothing is unpickled and nothing is written. A folder that is broken becomes a `Problem`.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from commandLine.settings import Settings, build_parser, defaults_for, methods_of
from drawing.directed import best_network, neuron_kinds, spread_of
from errors import RunError
from networks.agreement import Agreement, Settling
from options.defaults import ALIASES
from records.names import ARRAYS, CHECKPOINT, COLUMNS, METRICS, PLAN, RECORD, SUMMARY
from systems import system_of
from systems.base import SEARCH, System

RUN_FILES = {RECORD, "hyperparameters.txt", METRICS, ARRAYS, CHECKPOINT}
BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError)
BROKEN += (MemoryError, NotImplementedError, RecursionError, OverflowError)
BROKEN += (csv.Error, zipfile.BadZipFile, zlib.error)
LARGEST = 8e6  # bytes of an array that is read; curves stored with --save-full may be gigabytes
PER_NETWORK = ("learnt", "learnt_epoch", "final_mse", "final_sparsity", "stable", "log_spread")
PER_EPOCH = tuple(measure.name for measure in SEARCH)
MAY_BE_EMPTY = {"test_error", "products"}  # where an epoch was not tested, or not counted
OF_GRAPH = ("W", "admissible", "patterns", "targets")
MOST_POINTS = 64  # of a line in a figure
HIGHEST = 1e100  # in metrics.csv; sums of squares of larger numbers are none
DEEPEST = 4  # lists in lists of an option


class Problem(NamedTuple):
    """A folder that is no finished run, and why in a sentence."""

    folder: Path
    reason: str


class Graph(NamedTuple):
    """The weights (n, n) of one directed network, from row to column, and what its neurons are."""

    weights: np.ndarray
    kinds: list[str]  # input, one, hidden or output


class Run(NamedTuple):
    """One run folder."""

    folder: Path
    title: str
    options: dict[str, Any]  # all of them, those that the record does not have by default
    system: System
    command: str
    commit: str
    machine: str  # with device, threads and versions
    started: float  # seconds since 1970, 0: unknown
    unit: str  # of the errors
    rows: dict[str, list[dict[str, float]]]  # by method, an entry per epoch
    arrays: dict[str, np.ndarray]  # the small ones of results.npz
    graphs: dict[str, Graph]  # by method, the best network's


class Plan(NamedTuple):
    """A folder of many runs: what is swept there, and the values of each run."""

    folder: Path
    values: dict[str, dict[str, str]]  # by name of the run's folder, without the seed


class Findings(NamedTuple):
    """All there is below some folders."""

    runs: list[Run]
    plans: list[Plan]
    unfinished: list[Problem]
    unreadable: list[Problem]


def read_results(roots: list[Path]) -> Findings:
    """Read every result folder below the roots, each once.

    Raises:
        RunError: a root is not a folder.
    """
    found = Findings([], [], [], [])
    defaults = default_options()
    for folder, files in folders_below(roots, found.unreadable):
        if PLAN in files:
            enter_plan(folder, found)
        elif is_run(folder, files):
            enter_run(folder, files, defaults, found)
    return found._replace(unfinished=one_per_folder(found.unfinished))


def default_options() -> dict[str, Any]:
    """What options are that a record does not have."""
    return vars(build_parser().parse_args([]))


def folders_below(roots: list[Path], unreadable: list[Problem]) -> Iterator[tuple[Path, set[str]]]:
    """Every folder below the roots once, with the names in it.

    Raises:
        RunError: a root is not a folder.
    """
    seen: set[Path] = set()
    for root in roots:
        if not root.is_dir():
            raise RunError(f"{root} is not a folder with results")
        for folder, files in walk(root, unreadable):
            place = folder.resolve()
            if place not in seen:
                seen.add(place)
                yield folder, files


def is_run(folder: Path, files: set[str]) -> bool:
    """Whether a folder, with these names in it, is that of a run."""
    return bool(RUN_FILES & files) or is_empty_run(folder, files)


def one_per_folder(problems: list[Problem]) -> list[Problem]:
    """The problems with all that is said of a folder in one."""
    reasons: dict[Path, list[str]] = {}
    for folder, reason in problems:
        reasons.setdefault(folder, []).append(reason)
    return [Problem(folder, "; ".join(said)) for folder, said in reasons.items()]


def walk(root: Path, unreadable: list[Problem]) -> Iterator[tuple[Path, set[str]]]:
    """Every folder below the root with the names in it, in alphabetical order."""

    def complain(error: OSError) -> None:
        unreadable.append(Problem(Path(error.filename), f"cannot be listed ({error.strerror})"))

    for place, folders, files in os.walk(root, onerror=complain):
        folders.sort()
        yield Path(place), {*files, *folders}


def is_empty_run(folder: Path, files: set[str]) -> bool:
    return not files and folder.name.startswith("Trial-")


def enter_run(folder: Path, files: set[str], defaults: dict[str, Any], found: Findings) -> None:
    """Read one run folder into what was found."""
    if RECORD not in files:
        found.unreadable.append(Problem(folder, "hyperparameters.json is missing"))
        return
    try:
        run, reason = read_run(folder, files, defaults)
    except BROKEN as error:
        said = str(error) if isinstance(error, ValueError) else f"it is damaged ({error!r})"
        found.unreadable.append(Problem(folder, said))
        return
    if run.rows or run.arrays:
        found.runs.append(run)
    if reason:
        found.unfinished.append(Problem(folder, reason))


def read_run(folder: Path, files: set[str], defaults: dict[str, Any]) -> tuple[Run, str]:
    """A run, and in what it is not finished.

    Raises one of BROKEN, with a message for people where this program can tell.
    """
    record = read_record(folder / RECORD)
    options = defaults | record["options"]
    method = options["training_method"]
    options["training_method"] = ALIASES.get(method, method)
    kind, methods = described(options)
    if kind.has_phases and "solver" not in record["options"]:
        options["solver"] = "step"  # what every phase was before there was a choice
    later = defaults_for(argparse.Namespace(**options), kind).items()
    options |= {name: value for name, value in later if record["options"].get(name) is None}
    rows: dict[str, list[dict[str, float]]] = {}
    reason, arrays = "", {}
    if METRICS in files:
        rows, reason = read_metrics(folder / METRICS, methods)
    if ARRAYS in files:
        arrays = read_arrays(folder / ARRAYS, options["action"])
    elif rows:
        raise ValueError("results.npz is missing, which says in what unit the errors are")
    graphs = {method: graph for method in rows if (graph := graph_of(arrays, method))}
    run = Run(
        folder=folder,
        title=str(record.get("title", "")),
        options=options,
        system=kind,
        command=commands_of(record),
        commit=str(record.get("commit", "unknown")),
        machine=machine_of(record, options),
        started=timestamp(record.get("started")),
        unit=str(arrays.get("error_unit", "%")),
        rows=rows,
        arrays=arrays,
        graphs=graphs,
    )
    return run, reason or standing(run, methods)


def read_record(path: Path) -> dict[str, Any]:
    """What hyperparameters.json says."""
    text = read_text(path)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("hyperparameters.json is not valid JSON") from None
    if not isinstance(record, dict) or not isinstance(record.get("options"), dict):
        raise ValueError("hyperparameters.json has no options: it is not the record of a run")
    if is_deeper(record["options"], DEEPEST + 1):
        raise ValueError("hyperparameters.json: an option is nested too deeply")
    return record


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ValueError: it is something else, such as a pipe that nobody writes to, or no text.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is not a file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is no text") from None


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and dictionaries stand in each other more often than so."""
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return False
    return levels == 0 or any(is_deeper(one, levels - 1) for one in inner)


def described(options: dict[str, Any]) -> tuple[System, list[str]]:
    """System and methods of recorded options, which are checked as far as the report needs them."""
    for name in ("seed", "threads", "num_net", "device_label", "epochs", "patience"):
        optional = name in ("epochs", "patience") and options[name] is None
        if not optional and not isinstance(options[name], int):
            raise ValueError(f"hyperparameters.json: {name} is {options[name]!r}, not a number")
    for action in build_parser()._actions:
        value = options.get(action.dest)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if action.choices and not all(one in action.choices for one in values):
            raise ValueError(f"hyperparameters.json: {action.dest} {value!r} is unknown")
    system = system_of(argparse.Namespace(**options))
    return system, methods_of(Settings(**options, system=system))


def read_metrics(path: Path, methods: list[str]) -> tuple[dict[str, list[dict[str, float]]], str]:
    """Rows of metrics.csv by method as numbers, and what is odd: half a row at the end is left out.

    Raises:
        ValueError: it is no table of epochs.
    """
    text = read_text(path)
    whole, _, rest = text.rpartition("\n")
    reader = csv.reader(io.StringIO(whole))
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise ValueError(f"metrics.csv is no table ({error})") from None
    missing = [name for name in COLUMNS if name not in names]
    if missing and text:
        raise ValueError(f"metrics.csv has no column {missing[0]!r}")
    found: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
    place = names.index("method") if names else 0
    columns = names[:place] + names[place + 1 :]
    try:
        for row in reader:
            own = found[row.pop(place)]
            cells = dict(zip(columns, row, strict=True))
            for name in MAY_BE_EMPTY & cells.keys():
                if not cells[name]:
                    del cells[name]
            own.append({name: float(cell) for name, cell in cells.items()})
            own[-1]["epoch"] = int(own[-1]["epoch"])
            check_numbers(own[-1])
    except (csv.Error, IndexError, KeyError, ValueError, OverflowError):
        raise ValueError(f"metrics.csv: line {reader.line_num} is no row of this run") from None
    found = {method: own for method, own in found.items() if own}
    return found, "metrics.csv ends in half a row, which is left out" if rest else ""


def check_numbers(row: dict[str, float]) -> None:
    """Raise ValueError if no training can have come to them; errors may be infinite."""
    huge = any(HIGHEST < abs(value) < math.inf for value in row.values())
    if huge or not math.isfinite(row["seconds"]):
        raise ValueError(row)


def read_arrays(path: Path, action: str) -> dict[str, np.ndarray]:
    """What the report needs of results.npz; of the errors per epoch and network the quartiles.

    Raises:
        ValueError: it cannot be read, or is not of this action.
    """
    arrays: dict[str, np.ndarray] = {}
    if not path.is_file():
        raise ValueError("results.npz is not a file")
    try:
        with np.load(path, allow_pickle=False) as file:
            sizes = {info.filename: info.file_size for info in file.zip.infolist()}
            for name in file.files:
                kind = name.partition("_")[2]
                if sizes[f"{name}.npy"] > LARGEST:
                    continue
                if kind == "mse_free":
                    arrays[name] = thinned_spread(file[name])
                elif kind == "kept_epoch":
                    arrays[name] = np.array(int(file[name].item()))
                elif kind in PER_NETWORK + PER_EPOCH:
                    arrays[name] = file[name].astype(float).ravel()
                elif action != "train" or name == "error_unit" or kind in OF_GRAPH:
                    arrays[name] = file[name]
    except BROKEN as error:
        raise ValueError(f"results.npz cannot be read ({type(error).__name__})") from None
    if action != "train":
        check_comparison(arrays)
    return arrays


def check_comparison(arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError unless EP and BPTT were compared for every layer and weight."""
    nothing = np.empty(0)
    n_weights = len(arrays.get("synapses", nothing))
    fits = [arrays.get(k, nothing).shape[-1:] == (n_weights,) for k in Agreement._fields]
    if "layers" in arrays:
        fits.append(arrays.get("rmse_S", nothing).shape == (len(arrays["layers"]), 2))
        fits.append(arrays.get("rmse_T", nothing).shape == (n_weights, 2))
    elif "audit_rows" not in arrays:  # an audit says how each sample rests
        fits += [arrays.get(k, nothing).shape == () for k in Settling._fields]
    fits.append(arrays.get("settled", np.array(True)).shape == ())
    if not n_weights or not all(fits):
        raise ValueError("results.npz does not compare EP with BPTT for every layer and weight")


def thinned_spread(values: np.ndarray) -> np.ndarray:
    """What is drawn of (epochs, ..., networks); of a long training some epochs only."""
    epochs = thinned(len(values))
    return spread_of(values[epochs], epochs + 1)


def thinned(n: int) -> np.ndarray:
    """Which of n points are drawn: evenly spread, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(int))


def graph_of(arrays: dict[str, np.ndarray], method: str) -> Graph | None:
    """The best directed network, taken out of `arrays`; None where there is none."""
    names = [f"{method}_{name}" for name in OF_GRAPH]
    measures = [f"{method}_{name}" for name in ("learnt", "final_sparsity", "final_mse")]
    graph = None
    if all(name in arrays for name in (*names, *measures)):
        weights = arrays[names[0]][best_network(arrays, method)]
        graph = Graph(weights, neuron_kinds(arrays, method))
    for name in names:
        arrays.pop(name, None)
    return graph


def machine_of(record: dict[str, Any], options: dict[str, Any]) -> str:
    """What a run ran on, and with."""
    label, threads = options["device_label"], options["threads"]
    parts = [str(record.get("machine", "unknown machine"))]
    parts.append("CPU" if label < 0 else f"CUDA device {label}")
    if threads:
        parts.append(f"{threads} thread{'s' * (threads > 1)}")
    parts += [f"{name} {version}" for name, version in dict(record.get("versions", {})).items()]
    return ", ".join(parts)


def commands_of(record: dict[str, Any]) -> str:
    """What a run was started by, and what has changed its options since."""
    entries = [entry for entry in record.get("resumes", []) if entry["changed"]]
    return " && ".join(str(entry.get("command", "")) for entry in (record, *entries))


def timestamp(text: Any) -> float:
    try:
        return datetime.datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def standing(run: Run, methods: list[str]) -> str:
    """In what a run is not finished, or nothing."""
    if run.options["action"] != "train":
        return "" if run.arrays else "nothing measured yet"
    if not run.rows:
        return f"no epoch finished yet, {run.options['epochs']} asked"
    parts = []
    for method in methods:
        own = run.rows.get(method, [])
        if not is_finished(run, method):
            parts.append(f"{method} {len(own)} of {counted(run.options['epochs'], 'epoch')}")
    return ", ".join(parts)


def counted(n: int, thing: str) -> str:
    """1 epoch, 2 epochs."""
    return f"{n} {thing}" + "s" * (n != 1)


def is_finished(run: Run, method: str) -> bool:
    """All epochs are there, or training was ended early for want of progress."""
    rows = run.rows.get(method)
    if not rows:
        return False
    last, patience = rows[-1]["epoch"], run.options["patience"] or 0
    early = patience and last - kept_epoch(run, method) >= patience
    return bool(early) or last >= (run.options["epochs"] or 1)


def kept_epoch(run: Run, method: str) -> int:
    """The epoch whose weights are kept, as it is recorded; of old runs the last."""
    return int(run.arrays.get(f"{method}_kept_epoch", run.rows[method][-1]["epoch"]))


def enter_plan(folder: Path, found: Findings) -> None:
    """Read a folder of many runs: what it sweeps, and what has not begun or failed."""
    try:
        plan = json.loads(read_text(folder / PLAN))
        values = {
            str(run["name"]): {str(k): str(v) for k, v in run["values"].items() if k != "seed"}
            for run in plan
        }
        failed = failures(folder / SUMMARY)
    except BROKEN as error:
        found.unreadable.append(Problem(folder, f"the plan of runs cannot be read ({error})"))
        return
    found.plans.append(Plan(folder, values))
    found.unfinished.extend(Problem(folder / name, why) for name, why in failed.items())
    missing = [name for name in values if name not in failed and not (folder / name).exists()]
    if missing:
        which = f"{len(missing)} of {len(values)} runs have not begun"
        found.unfinished.append(Problem(folder, f"{which}: {', '.join(missing[:3])}"))


def failures(path: Path) -> dict[str, str]:
    """Why runs have failed, by their names, from summary.csv; none if there is no such file."""
    if not path.exists():
        return {}
    table = csv.DictReader(io.StringIO(read_text(path)))
    rows = [row for row in table if str(row.get("status")).startswith("failed")]
    return {str(row["run"]): str(row["status"]) for row in rows}
