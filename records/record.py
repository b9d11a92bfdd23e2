"""The record of a run: its options, what it was started by, and how it went on."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
from pathlib import Path
from typing import Any

from errors import RunError
from records.names import RECORD
from records.writing import write_whole

ABOUT_START = ("command", "commit", "machine", "started")  # of a record
PROJECT_DIR = Path(__file__).resolve().parent.parent


def createHyperparameterfile(
    path: Path, title: str, options: dict[str, Any], command: list[str], system: str = ""
) -> None:
    """Write hyperparameters.txt (for people) and hyperparameters.json (`--config` re-runs it).

    Args:
        path: the run folder.
        title: first line of the text, what the run is.
        options: every option with its value, unrounded.
        command: the words of the command line, without the interpreter.
        system: which of the systems the run is of, such as "energy-based".
    """
    record = {"title": title, "system": system, "action": options.get("action", "")}
    write_record(path, record | {"options": options} | circumstances(command))


def record_resume(path: Path, options: dict[str, Any], command: list[str]) -> None:
    """Add to the record of a run that it goes on: by what command, and which options are new.

    The options of the record are then those now in force; what they were before is in `changed`
    of an entry of `resumes`.

    Args:
        options, command: as for `createHyperparameterfile`.
    Raises:
        RunError: there is no record, or it cannot be written.
    """
    record = read_record(path / RECORD)
    before = record["options"]
    changed = {
        name: {"from": before.get(name), "to": value}
        for name, value in options.items()
        if before.get(name) != value
    }
    entry = {"changed": changed} | circumstances(command)
    record["options"] = before | options
    record["resumes"] = [*record.get("resumes", []), entry]
    write_record(path, record)


def circumstances(command: list[str]) -> dict[str, Any]:
    """By what command, on what, with what and when a run starts or goes on."""
    import numpy as np
    import torch

    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {
        "versions": versions | {"numpy": np.__version__},
        "command": shlex.join(["python", *command]),
        "commit": source_commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write the record of a run, for people and for programs."""
    lines = [str(record.get("title", "")), ""]
    lines += [f"- {name}: {readable(value)}" for name, value in record["options"].items()]
    lines += ["", *(f"- {name} version: {v}" for name, v in record.get("versions", {}).items())]
    lines += [f"- {name}: {record.get(name, '')}" for name in ABOUT_START]
    for entry in record.get("resumes", []):
        lines += ["", f"- resumed: {entry['started']}", f"- command: {entry['command']}"]
        lines.append(f"- commit: {entry['commit']}")
        lines += [
            f"- changed: {name} from {readable(values['from'])} to {readable(values['to'])}"
            for name, values in entry["changed"].items()
        ]
    write_whole(path / "hyperparameters.txt", ("\n".join(lines) + "\n").encode())
    write_whole(path / RECORD, json.dumps(record, indent=2).encode())


def readable(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def source_commit() -> str:
    """Commit of the program's own source, "+" added if it was changed since, or "unknown"."""
    git = ["git", "-C", str(PROJECT_DIR)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except OSError:
        return "unknown"
    if commit.returncode or not commit.stdout.strip():
        return "unknown"
    return commit.stdout.strip() + ("+" if changes.stdout.strip() else "")


def read_options(path: str | Path) -> dict[str, Any]:
    """Read the options recorded in a hyperparameters.json.

    Raises:
        RunError: no such file, or not a recorded run.
    """
    return read_record(path)["options"]


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a hyperparameters.json, as `read_options` does.

    Raises:
        RunError: no such file, or not a recorded run.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise RunError(f"{path} is not valid JSON") from None
    if not isinstance(record, dict) or not isinstance(record.get("options"), dict):
        raise RunError(f'{path} has no "options": it is not the record of a run')
    return record
