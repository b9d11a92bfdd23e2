"""The folder of a run: what was asked, what came out, and enough to go on after a crash.

results/<model>_<dataset>/<device>-<date>/Trial-<n>/ holds hyperparameters.txt and .json,
metrics.csv, results.npz, checkpoint.pt and a copy of plotFunctions.py. Every file is written beside
its place and moved there; nothing that is read back needs unpickling.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import math
import os
import platform
import re
import shlex
import subprocess
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from errors import RunError

if TYPE_CHECKING:  # the command line needs this module: numpy and torch are loaded where used
    import numpy as np

FORMAT = 2  # of checkpoint.pt; a reader refuses what it does not know
RECORD = "hyperparameters.json"  # of a run: its options, and what it was started by
ABOUT_START = ("command", "commit", "machine", "started")  # of a record
PLAN = "runs.json"  # of a folder of many runs
LOCK = "lock"  # of a run that is being trained; names the process
METRICS = ["epoch", "method", "train_error", "test_error", "loss", "seconds"]
PROJECT_DIR = Path(__file__).resolve().parent


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, never meets half of it."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RunError:
    why = f"cannot write {path} ({error.strerror or error})"
    if not path.parent.is_dir():
        return RunError(f"{why}: its folder was removed while the program ran")
    return RunError(
        f"{why}: what was written before is intact; make room or choose another --results-dir"
    )


def write_rows(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    """Write a CSV file with these columns; what a row does not have stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def createPath(results_dir: str | Path, model: str, device: str, kind: str = "Trial") -> Path:
    """Make and return the next free `<results_dir>/<model>/<device>-<date>/<kind>-<n>`.

    The folder is taken by making it, so two runs started at the same moment never share one.

    Raises:
        RunError: the folder cannot be made.
    """
    day = Path(results_dir) / model / f"{device}-{datetime.date.today().isoformat()}"
    try:
        day.mkdir(parents=True, exist_ok=True)
        number = 1 + max((number_of(p, kind) for p in day.glob(f"{kind}-*")), default=0)
        while True:
            path = day / f"{kind}-{number}"
            try:
                path.mkdir()
                return path
            except FileExistsError:
                number += 1
    except OSError as error:
        raise RunError(
            f"cannot make a result folder in {day} ({error.strerror or error}); "
            "choose another place with --results-dir"
        ) from error


def number_of(path: Path, kind: str) -> int:
    suffix = path.name.removeprefix(f"{kind}-")
    return int(suffix) if suffix.isdigit() else 0


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


# One process at a time ---------------------------------------------------------------------------


def lock(file: IO, wait: bool = True) -> bool:
    """Lock an open file until it is closed or this process ends; return whether it was free."""
    try:
        import fcntl  # not on Windows, where nothing is locked

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a file system without locks
        return True
    return True


@contextlib.contextmanager
def sole_process(folder: Path) -> Iterator[None]:
    """Keep other processes from training the run in this folder, for as long as this one does.

    The system takes the lock from a process that has ended, however it did.

    Raises:
        RunError: one is at it, or the folder cannot be written.
    """
    path = folder / LOCK
    try:
        file = locked(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # the folder may be gone
                path.unlink()


def locked(path: Path) -> BinaryIO:
    """The file of this name, locked, with the number of this process in it."""
    while True:
        file = path.open("ab+", buffering=0)
        if not lock(file, wait=False):
            file.seek(0)
            owner = file.read().decode() or "another"
            file.close()
            raise RunError(f"process {owner} is at work in {path.parent}: wait until it has ended")
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # its owner has removed it since it was opened
    with contextlib.suppress(OSError):  # of a full disk the next file speaks
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}".encode())
    return file


def in_one_file(module: str, there: set[str]) -> str:
    """The text of a module that runs alone: what it takes from drawing/ stands in its place.

    there: the modules that the text has already, to which it adds.
    """
    text = (PROJECT_DIR / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")

    def imported(found: re.Match) -> str:
        name = found[1]
        if name in there:
            return ""
        there.add(name)
        return in_one_file(name, there).replace("from __future__ import annotations\n", "")

    return re.sub(r"^from (drawing\.\w+) import (?:\([^)]*\)|.*)\n", imported, text, flags=re.M)


class RunFolder:
    """Where the actions put what they compute."""

    def __init__(self, path: Path):
        self.path = Path(path)

    def copy_plotting(self) -> None:
        """Put plotFunctions.py beside the data, so that the folder draws its own figures."""
        write_whole(self.path / "plotFunctions.py", in_one_file("plotFunctions", set()).encode())

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Write metrics.csv: a row per epoch and method; what only some runs measure is last."""
        extra = [name for row in rows[:1] for name in row if name not in METRICS]
        write_rows(self.path / "metrics.csv", METRICS + extra, rows)

    def write_measures(self, network: str, measures: dict[str, Any]) -> None:
        """Write measures.csv: what an action other than training has found out of a network."""
        row = {"method": network, **measures}
        write_rows(self.path / "measures.csv", list(row), [row])

    def write_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Write results.npz, the arrays behind the figures."""
        import numpy as np

        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_whole(self.path / "results.npz", buffer.getvalue())

    def read_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of results.npz; none if there is no such file."""
        path = self.path / "results.npz"
        if not path.exists():
            return {}
        import numpy as np

        with np.load(path, allow_pickle=False) as file:
            return dict(file)

    def write_text(self, name: str, text: str) -> None:
        write_whole(self.path / name, text.encode())

    def last_checkpoint(self) -> dict[str, Any] | None:
        """What `read_checkpoint` finds here; None if the run was killed before its first one.

        Raises:
            RunError: there is none although epochs are recorded, or it cannot be read.
        """
        path, metrics = self.path / "checkpoint.pt", self.path / "metrics.csv"
        if not path.exists() and (not metrics.exists() or metrics.read_bytes().count(b"\n") < 2):
            return None
        return read_checkpoint(path)

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        """Write checkpoint.pt: tensors and plain values only."""
        import torch

        buffer = io.BytesIO()
        torch.save({"format": FORMAT, **state}, buffer)
        write_whole(self.path / "checkpoint.pt", buffer.getvalue())


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; what it holds is then as `patterns` says.

    Raises:
        RunError: no such file, a damaged one, not a checkpoint, or one of another format.
    """
    try:
        state = load_archive(path)
    except FileNotFoundError:
        raise RunError(f"no checkpoint at {path}") from None
    except Exception as error:  # zipfile and torch raise a dozen kinds for a broken file
        raise RunError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); "
            "it is damaged or was not written by this program"
        ) from error
    if not isinstance(state, dict) or not fits(state.get("format"), int):
        raise RunError(f"{path} is not a checkpoint of this program")
    if state["format"] != FORMAT:
        raise RunError(
            f"{path} has checkpoint format {state['format']}, this program reads format {FORMAT}"
        )
    if wrong := misfit(state):
        raise RunError(f"{path} {wrong}: it is damaged or was not written by this program")
    return state


def load_archive(path: str | Path) -> Any:
    """What torch.save has written, its checksums compared: torch itself reads past them.

    Raises:
        OSError: the file cannot be read.
        Exception: of many kinds, it is damaged or holds more than tensors and plain values.
    """
    import torch

    with open(path, "rb") as file:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            # torch would leave the memory of a member that is marked as a folder unwritten
            marked = any(member.external_attr for member in archive.infolist())
        if damaged or marked:
            raise zipfile.BadZipFile(damaged)
        file.seek(0)
        with warnings.catch_warnings():  # about pickles that it then refuses
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)


# What a checkpoint holds. A pattern is a type, None, a test, a tuple of patterns of which one fits,
# a list of the pattern of each item, or {str: pattern of each value}.

# Of checkpoints that were written before they had it, which are read, too.
NOT_IN_OLD = {"best", "optimizers", "progress.best", "progress.over", "progress.products"}


def patterns() -> dict[str, Any]:
    """By key what a checkpoint holds; its progress has the keys of teaching.progress.Progress."""
    from torch import Tensor

    number = (int, float)
    plain = (str, bool, int, float, None)
    tensors = {str: Tensor}
    return {
        "options": {str: (*plain, [plain])},
        "weights": {str: tensors},
        "particles": {str: lambda v: fits(v, [(None, [Tensor])]) and len(v) == 2},
        "best": {str: tensors},
        "optimizers": {str: tensors},
        "progress": dict,
        "progress.epoch": lambda v: fits(v, int) and v >= 1,
        "progress.method": is_count,
        "progress.batch": is_count,
        "progress.seconds": lambda v: fits(v, number) and 0 <= v < math.inf,
        "progress.record": tensors,
        "progress.rows": are_rows,
        "progress.notes": {str: [(*number, [number])]},
        "progress.history": {str: tensors},
        "progress.best": {str: lambda v: fits(v, {str: number}) and {"error", "epoch"} == set(v)},
        "progress.over": [str],
        "progress.products": {str: (*number, None)},
    }


def is_count(value: Any) -> bool:
    return fits(value, int) and value >= 0


def are_rows(value: Any) -> bool:
    """Rows of metrics.csv: each has all the columns, and the same."""
    kinds = dict.fromkeys(METRICS, (int, float)) | {"epoch": int, "method": str}
    kinds["test_error"] = (int, float, None)  # of an epoch that was not tested
    return fits(value, [{str: (int, float, str, None)}]) and all(
        row.keys() == value[0].keys()
        and all(key in row and fits(row[key], kind) for key, kind in kinds.items())
        for row in value
    )


def fits(value: Any, pattern: Any) -> bool:
    """Whether a value is what a pattern says."""
    if isinstance(pattern, tuple):
        return any(fits(value, one) for one in pattern)
    if isinstance(pattern, list):
        return isinstance(value, list | tuple) and all(fits(v, pattern[0]) for v in value)
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            isinstance(key, str) and fits(v, pattern[str]) for key, v in value.items()
        )
    if isinstance(pattern, type):
        return isinstance(value, pattern) and (pattern is bool or not isinstance(value, bool))
    return value is None if pattern is None else pattern(value)


def misfit(state: dict[str, Any]) -> str:
    """What is wrong with a checkpoint, in words; nothing if it is as `patterns` says."""
    progress, expected = state.get("progress"), patterns()
    found = dict(state)
    if isinstance(progress, dict):
        found |= {f"progress.{key}": value for key, value in progress.items()}
    for key, pattern in expected.items():
        if key not in found and key not in NOT_IN_OLD:
            return f"has no {key}"
        if key in found and not fits(found[key], pattern):
            return f"has a wrong {key}"
    for key in map(str, found):
        if key.startswith("progress.") and key not in expected:
            return f"has {key}, which is unknown"
    return ""


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


class Scalars:
    """Writes the rows of metrics.csv as they come, a curve per method and number.

    Args:
        folder: of the run; the event files are in `tensorboard` below it.
        epoch: the first to come; of a run that goes on, what was written of it before is hidden.
    Raises:
        RunError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, epoch: int = 1) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RunError(
                "--tensorboard needs the package tensorboard: pip install tensorboard"
            ) from error
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=epoch)

    def add(self, row: dict[str, Any]) -> None:
        """Write a row of metrics.csv."""
        for name, value in row.items():
            if name not in ("epoch", "method") and value is not None:
                self.writer.add_scalar(f"{row['method']}/{name}", value, row["epoch"])
        self.writer.flush()
