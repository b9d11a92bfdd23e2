"""What figures are drawn from: the files of a result folder, and what tells folders apart."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drawing.style import Arrays
from records.names import ARRAYS, METRICS, RECORD, SUMMARY

Rows = list[dict[str, str]]  # of a CSV file
PLACES = ("results_dir", "data_dir", "resume", "config", "name", "note")  # no part of a training


def read_table(path: Path) -> Rows:
    """The rows of a CSV file, none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_arrays(folder: Path) -> Arrays:
    """The arrays of results.npz, each unpacked when it is asked for; none without such a file."""
    path = folder / ARRAYS
    return np.load(path, allow_pickle=False) if path.exists() else {}


def by_method(rows: Rows) -> dict[str, Rows]:
    """The rows of each method, in their order."""
    groups: dict[str, Rows] = {}
    for row in rows:
        groups.setdefault(row["method"], []).append(row)
    return groups


def numbers(rows: Rows, name: str) -> np.ndarray:
    """A column, (rows,); NaN where it is empty, as of an epoch that was not tested."""
    return np.array([float(row[name] or "nan") for row in rows])


def unit_of(folder: Path) -> str:
    """Of a run's errors."""
    return str(read_arrays(folder).get("error_unit", "%"))


def methods_with(arrays: Arrays, name: str) -> list[str]:
    """The methods that have recorded an array of this name."""
    found = [key[: -len(name) - 1] for key in arrays if key.endswith(f"_{name}")]
    return [method for method in found if "_" not in method]


def read_summary(folder: Path) -> Rows:
    """The rows of a summary that have a result; none of a comparison, which has its own figures."""
    rows = read_table(folder / SUMMARY)
    return [row for row in rows if row.get("method") and "contestant" not in row]


def swept_options(rows: Rows) -> list[str]:
    """What differs between the runs beside the seed."""
    names = list(rows[0]) if rows else ["run", "seed"]
    return names[1 : names.index("seed")]


def group_of(row: dict[str, str], options: list[str]) -> str:
    """The swept values and the method of a run, as a label."""
    return ", ".join([f"{name} {row[name]}" for name in options] + [row["method"]])


def over_seeds(rows: Rows, option: str, measure: str) -> dict[str, tuple]:
    """Mean and standard deviation (0 of one) over the runs with each value of the option."""
    groups: dict[str, list] = {}
    for row in rows:
        groups.setdefault(row[option], []).append(np.asarray(row[measure], float))
    return {
        value: (np.mean(own, 0), np.std(own, 0, ddof=1) if len(own) > 1 else 0 * own[0])
        for value, own in groups.items()
    }


def trainings_below(folder: Path) -> list[Path]:
    """The folders of trainings: this one, or those below it, Trial-2 before Trial-10."""
    if (folder / METRICS).exists():
        return [folder]
    found = {path.parent for path in folder.glob(f"**/{METRICS}")}
    parts = {run: re.split(r"(\d+)", str(run)) for run in found}
    return sorted(found, key=lambda run: [int(p) if p.isdigit() else p for p in parts[run]])


def options_of(folder: Path) -> dict[str, str]:
    """The recorded options of a run as they are read, but for places; none without a record."""
    path = folder / RECORD
    options = json.loads(path.read_text(encoding="utf-8"))["options"] if path.exists() else {}
    return {name: in_words(value) for name, value in options.items() if name not in PLACES}


def in_words(value: Any) -> str:
    """The value of an option as it is read."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return "-" if value is None else str(value)


def differences(runs: Sequence[Path]) -> list[dict[str, str]]:
    """Of every run the options in which not all are the same; "-" where there is none."""
    every = [options_of(run) for run in runs]
    names = dict.fromkeys(name for options in every for name in options)
    differing = [n for n in names if len({options.get(n, "-") for options in every}) > 1]
    return [{name: options.get(name, "-") for name in differing} for options in every]


def names_of(runs: Sequence[Path]) -> list[str]:
    """What tells the folders apart of their paths, without what these share at both ends."""
    parts = [run.resolve().parts for run in runs]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and len({part[end] for part in parts}) == 1:
            parts = [part[1:] if end == 0 else part[:-1] for part in parts]
    return [os.path.join(*part) for part in parts]
