"""The runs there are, newest first, for people or as JSON; nothing here needs torch.

python main.py --action list                        # below results/
python main.py --action list FOLDER --dataset digits --name "first try"
python main.py --action list --preset P-1h --json
"""

from __future__ import annotations

import datetime
import json
import math
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from commandLine.settings import Settings
from records.lock import lock
from records.names import LOCK
from report.reader import (
    BROKEN,
    default_options,
    described,
    folders_below,
    is_run,
    kept_epoch,
    read_run,
)
from runs.log import FAILED, LOG, RUNNING, status_of

FINISHED, STOPPED, UNREADABLE = "finished", "stopped", "unreadable"
ERRORS = ("main.py: error: ", "Traceback ")  # how a failure begins in log.txt
TITLES = ("started", "state", "system", "data set", "rule", "seed", "epochs", "last", "kept")
TITLES += ("name", "folder")


class Entry(NamedTuple):
    """A run by one of its methods; what is not known is None."""

    folder: str
    started: str  # year-month-day hour:minute
    state: str  # running, finished, stopped, failed or unreadable
    why: str  # in what it is not finished
    action: str = ""
    system: str = ""
    dataset: str = ""
    rule: str = ""
    seed: int | None = None
    epochs: int = 0  # that are done
    asked: int | None = None
    last_error: float | None = None  # on the test data, where they were tested last
    kept_error: float | None = None  # of the epoch whose weights are kept
    unit: str = "%"
    name: str = ""
    note: str = ""
    preset: str = ""


def run_list(args: Settings, argv: list[str], place: Path | None = None) -> None:
    """Print the runs below the folders of the command line, as far as they pass its filters."""
    entries = [one for one in entries_below(args.folders or [args.results_dir]) if fits(one, args)]
    if args.json:
        print(json.dumps([entry._asdict() for entry in entries], indent=2))
    else:
        print(table(entries))


def fits(entry: Entry, args: Settings) -> bool:
    """Whether a run is one of those that are asked for."""
    wanted = {"dataset": args.dataset, "preset": args.preset, "name": args.name}
    return all(value is None or getattr(entry, key) == value for key, value in wanted.items())


def entries_below(roots: list[Path]) -> list[Entry]:
    """Every run below some folders, the newest first.

    Raises:
        RunError: one of them is no folder.
    """
    found: list[tuple[float, Entry]] = []
    defaults, unreadable = default_options(), []
    for folder, files in folders_below(roots, unreadable):
        if is_run(folder, files):
            found += entries_of(folder, files, defaults)
    found += [(0.0, Entry(str(folder), "", UNREADABLE, why)) for folder, why in unreadable]
    return [entry for _, entry in sorted(found, key=lambda one: one[0], reverse=True)]


def entries_of(
    folder: Path, files: set[str], defaults: dict[str, Any]
) -> list[tuple[float, Entry]]:
    """An entry per method of a run, with when it was started in seconds since 1970."""
    try:
        run, reason = read_run(folder, files, defaults)
        methods = described(run.options)[1] if run.options["action"] == "train" else [""]
    except BROKEN as error:
        why = str(error) if isinstance(error, ValueError) else type(error).__name__
        return [(0.0, Entry(str(folder), "", UNREADABLE, why))]
    state, why = state_of(folder, reason)
    options, found = run.options, []
    for method in list(run.rows) or methods:
        rows = run.rows.get(method, [])
        tested = {int(row["epoch"]): row["test_error"] for row in rows if "test_error" in row}
        kept = tested.get(kept_epoch(run, method)) if rows else None
        entry = Entry(
            folder=str(folder),
            started=date_of(run.started),
            state=state,
            why=why,
            action=options["action"],
            system=run.system.name,
            dataset=dataset_of(run.system, options),
            rule=method,
            seed=options["seed"],
            epochs=int(rows[-1]["epoch"]) if rows else 0,
            asked=options["epochs"],
            last_error=number(list(tested.values())[-1]) if tested else None,
            kept_error=number(kept),
            unit=run.unit,
            name=options["name"] or "",
            note=options["note"] or "",
            preset=preset_of(run.command),
        )
        found.append((run.started, entry))
    return found


def state_of(folder: Path, reason: str) -> tuple[str, str]:
    """How a run stands, and in what it is not finished."""
    if is_at_work(folder):
        return RUNNING, reason
    status = status_of(folder)
    if status.startswith(FAILED):
        return FAILED, status.removeprefix(f"{FAILED}: ")
    if not reason:
        return FINISHED, ""
    failure = failure_in(folder / LOG)
    return (FAILED, failure) if failure else (STOPPED, reason)


def is_at_work(folder: Path) -> bool:
    """Whether a process has locked the folder."""
    names = [LOCK, *([LOG] if status_of(folder).startswith(RUNNING) else [])]
    return any(is_locked(folder / name) for name in names)


def is_locked(path: Path) -> bool:
    """Whether another process has this file locked; one that is just about to do so counts, too."""
    try:
        with path.open("rb") as file:
            return not file.read(1) or not lock(file, wait=False)
    except OSError:
        return False


def failure_in(log: Path) -> str:
    """The line by which a run has failed when it was last begun, nothing if it has not."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    start = max((k for k, line in enumerate(lines) if " python main.py " in line), default=0)
    if not any(line.startswith(ERRORS) for line in lines[start:]):
        return ""
    return lines[-1].removeprefix(ERRORS[0])


def dataset_of(system: Any, options: dict[str, Any]) -> str:
    """What was learnt; of a record of Python it may not say."""
    return str(options["dataset"] or system.defaults.get("dataset", ""))


def preset_of(command: str) -> str:
    """The preset that a command names, or nothing."""
    try:
        words = [part for word in shlex.split(command) for part in word.split("=", 1)]
    except ValueError:  # of quotes that do not match
        return ""
    return words[words.index("--preset") + 1] if "--preset" in words[:-1] else ""


def date_of(started: float) -> str:
    return f"{datetime.datetime.fromtimestamp(started):%Y-%m-%d %H:%M}" if started else ""


def number(value: float | None) -> float | None:
    """A number that JSON has."""
    return value if value is not None and math.isfinite(value) else None


def table(entries: list[Entry]) -> str:
    """The entries in columns, and below how many there are of each state."""
    lines = [TITLES, *(cells_of(entry) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    states = [entry.state for entry in {entry.folder: entry for entry in entries}.values()]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    total = f"{len(states)} run{'s' * (len(states) != 1)}"
    return "\n".join([*shown, f"{total}: {', '.join(counts)}"] if entries else ["no runs"])


def cells_of(entry: Entry) -> tuple[str, ...]:
    """What stands in the columns of `TITLES`."""
    if entry.state == UNREADABLE:
        return "", entry.state, "", "", "", "", "", "", "", "", f"{entry.folder}: {entry.why}"
    trained = entry.action == "train"
    done = f"{entry.epochs}/{entry.asked}" if trained else "-"
    rule = entry.rule if trained else entry.action
    errors = (in_words(error, entry.unit) for error in (entry.last_error, entry.kept_error))
    about = (entry.started, entry.state, entry.system, entry.dataset, rule, str(entry.seed), done)
    return (*about, *errors, entry.name, entry.folder)


def in_words(error: float | None, unit: str) -> str:
    if error is None:
        return "-"
    return f"{error:.2f} %" if unit == "%" else f"{error:.5f}"
