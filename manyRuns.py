"""The same command over seeds and values: one run folder each, and a table of what came out.

    python main.py --preset wine_5layer_swni --trials 20
    python main.py --preset mnist_5layer_swni --epochs 1 --sweep bypass_p 0 0.01 0.1 --trials 3
    python main.py --resume results/.../Runs-1                # only what is missing

A folder `Runs-<n>` holds the runs, runs.json (what each is), summary.csv and summary.md.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from runFolder import RunError, write_whole

PLAN = "runs.json"
MEASURES = ("train_error", "test_error", "best_test_error", "log_spread", "seconds")


class Run(NamedTuple):
    """One command of many."""

    name: str  # of its folder
    values: dict[str, str]  # the swept options and the seed
    words: list[str]  # of the command line


def plan_runs(argv: list[str], sweeps: list[list[str]], seeds: range) -> list[Run]:
    """Every combination of the swept values with every seed, seeds running fastest.

    Args:
        argv: the command line, without --sweep, --trials and --seed.
        sweeps: [option, value, value, ...] each; a value may be several words joined by commas.
    """
    names = [sweep[0].lstrip("-").replace("-", "_") for sweep in sweeps]
    runs = []
    for *chosen, seed in itertools.product(*(sweep[1:] for sweep in sweeps), seeds):
        values = dict(zip(names, chosen, strict=True)) | {"seed": str(seed)}
        words = list(argv)
        for name, value in values.items():
            words += [f"--{name}", *value.split(",")]
        label = ",".join(f"{name}={value}" for name, value in values.items())
        runs.append(Run(label.replace("/", "_"), values, words))
    return runs


def single_words(argv: list[str]) -> list[str]:
    """The command line without the options that ask for many runs."""
    kept, inside = [], False
    for word in argv:
        if word.startswith("--"):
            inside = word.split("=")[0] in ("--sweep", "--trials", "--seed")
        if not inside:
            kept.append(word)
    return kept


def write_plan(folder: Path, runs: list[Run]) -> None:
    write_whole(folder / PLAN, json.dumps([run._asdict() for run in runs], indent=2).encode())


def read_plan(folder: Path) -> list[Run]:
    try:
        return [Run(**run) for run in json.loads((folder / PLAN).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{folder / PLAN} cannot be read as a plan of runs ({error})") from None


def run_all(
    folder: Path, runs: list[Run], start: Callable[[Run, Path], None], errors: tuple[type, ...]
) -> list[dict[str, Any]]:
    """Run what is not done yet; a run that fails is recorded and does not stop the others.

    Args:
        start: called with a run and its folder; goes on if the folder is there already.
        errors: exceptions that mean the run failed for a reason told in one sentence.
    Returns:
        The rows of summary.csv: a row per run and method.
    """
    finished = {row["run"] for row in read_rows(folder / "summary.csv") if row["status"] == "done"}
    failed: dict[str, str] = {}
    rows = write_summary(folder, runs, finished, failed)
    for k, run in enumerate(runs, 1):
        if run.name in finished:
            continue
        print(f"run {k} of {len(runs)}: {run.name}", flush=True)
        try:
            start(run, folder / run.name)
            finished.add(run.name)
        except errors as error:
            failed[run.name] = str(error)
            print(f"failed: {error}", flush=True)
        rows = write_summary(folder, runs, finished, failed)
    return rows


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; none if there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_summary(
    folder: Path, runs: list[Run], finished: set[str], failed: dict[str, str]
) -> list[dict[str, Any]]:
    """Write summary.csv and summary.md from what is in the run folders."""
    rows = []
    for run in runs:
        if run.name in failed:
            rows.append({"run": run.name, **run.values, "status": f"failed: {failed[run.name]}"})
        elif run.name in finished:
            about = {"run": run.name, **run.values, "status": "done"}
            rows += [about | row for row in outcome(folder / run.name) or [{}]]
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["run", "status"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / "summary.csv", text.getvalue().encode())
    write_whole(folder / "summary.md", table(rows, list(runs[0].values)[:-1]).encode())
    return rows


def outcome(folder: Path) -> list[dict[str, Any]]:
    """Last and best epoch of a run, a row per method."""
    metrics, found = read_rows(folder / "metrics.csv"), []
    for method in dict.fromkeys(row["method"] for row in metrics):
        own = [row for row in metrics if row["method"] == method]
        best = min(own, key=lambda row: float(row["test_error"]))
        row = {
            "method": method,
            "epochs": own[-1]["epoch"],
            "train_error": own[-1]["train_error"],
            "test_error": own[-1]["test_error"],
            "best_test_error": best["test_error"],
            "best_epoch": best["epoch"],
            "loss": own[-1]["loss"],
            "seconds": sum(float(row["seconds"]) for row in own),
        }
        spread = log_spread(folder, method)
        found.append(row if spread is None else row | {"log_spread": spread})
    return found


def log_spread(folder: Path, method: str) -> float | None:
    """Spread of the layers' corrections, mean over the epochs, of networks that record it."""
    path = folder / "results.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        key = f"{method}_log_spread"
        return float(arrays[key].mean()) if key in arrays else None


def table(rows: list[dict[str, Any]], swept: list[str]) -> str:
    """Mean ± standard deviation over the seeds for each setting and method, as markdown."""
    done = [row for row in rows if "method" in row]
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in done:
        groups.setdefault((*(row[name] for name in swept), row["method"]), []).append(row)
    shown = [name for name in MEASURES if any(name in row for row in done)]
    lines = [
        "| " + " | ".join([*swept, "method", "n", "epochs", *shown]).replace("_", " ") + " |",
        "|" + "---|" * (len(swept) + 3 + len(shown)),
    ]
    for key, own in groups.items():
        cells = [*key, str(len(own)), own[0]["epochs"]]
        cells += [spread_of([float(row[name]) for row in own if name in row]) for name in shown]
        lines.append("| " + " | ".join(cells) + " |")
    n_failed = sum(row["status"].startswith("failed") for row in rows)
    return "\n".join(lines) + "\n" + (f"\n{n_failed} run(s) failed.\n" if n_failed else "")


def spread_of(values: list[float]) -> str:
    """Mean ± standard deviation (denominator n - 1); of those that are numbers, if not all are."""
    known = [v for v in values if math.isfinite(v)]
    if not known:
        return "-"
    text = f"{statistics.mean(known):.4g}"
    if len(known) > 1:
        text += f" ± {statistics.stdev(known):.2g}"
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)})"
