"""The folder of a run: what was asked, what came out, and enough to go on after a crash.

results/<model>_<dataset>/<device>-<date>/Trial-<n>/ holds hyperparameters.txt and .json,
metrics.csv, results.npz, checkpoint.pt and a copy of plotFunctions.py. Every file is written beside
its place and moved there; nothing that is read back needs unpickling.
"""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import RunError
from records.checkpoint import FORMAT, read_checkpoint
from records.names import ARRAYS, CHECKPOINT, COLUMNS, METRICS
from records.record import PROJECT_DIR
from records.writing import write_rows, write_whole

if TYPE_CHECKING:  # the command line needs this module: numpy and torch are loaded where used
    import numpy as np

IMPORT = re.compile(r"^from ((?:drawing|records)\.\w+) import (?:\([^)]*\)|.*)\n", re.M)


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


def in_one_file(module: str, there: set[str]) -> str:
    """The text of a module that runs alone: others of the project stand where it imports them.

    there: the modules that the text has already, to which it adds.
    """
    text = (PROJECT_DIR / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")

    def imported(found: re.Match) -> str:
        name = found[1]
        if name in there:
            return ""
        there.add(name)
        return in_one_file(name, there).replace("from __future__ import annotations\n", "")

    return IMPORT.sub(imported, text)


class RunFolder:
    """Where the actions put what they compute."""

    def __init__(self, path: Path):
        self.path = Path(path)

    def copy_plotting(self) -> None:
        """Put plotFunctions.py beside the data, so that the folder draws its own figures."""
        write_whole(self.path / "plotFunctions.py", in_one_file("plotFunctions", set()).encode())

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Write metrics.csv: a row per epoch and method; what only some runs measure is last."""
        extra = [name for row in rows[:1] for name in row if name not in COLUMNS]
        write_rows(self.path / METRICS, COLUMNS + extra, rows)

    def write_measures(self, network: str, measures: dict[str, Any]) -> None:
        """Write measures.csv: what an action other than training has found out of a network."""
        row = {"method": network, **measures}
        write_rows(self.path / "measures.csv", list(row), [row])

    def write_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Write results.npz, the arrays behind the figures."""
        import numpy as np

        buffer = io.BytesIO()
        # np.savez_compressed takes twice the time for files 5 % smaller: weights hardly pack.
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for name, array in arrays.items():
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        write_whole(self.path / ARRAYS, buffer.getvalue())

    def read_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of results.npz; none if there is no such file."""
        path = self.path / ARRAYS
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
        path, metrics = self.path / CHECKPOINT, self.path / METRICS
        if not path.exists() and (not metrics.exists() or metrics.read_bytes().count(b"\n") < 2):
            return None
        return read_checkpoint(path)

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        """Write checkpoint.pt: tensors and plain values only."""
        import torch

        buffer = io.BytesIO()
        torch.save({"format": FORMAT, **state}, buffer)
        write_whole(self.path / CHECKPOINT, buffer.getvalue())
