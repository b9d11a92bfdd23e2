"""What a checkpoint must hold, and how one is read: nothing in it needs unpickling."""

from __future__ import annotations

import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

from errors import RunError
from records.names import COLUMNS

FORMAT = 2  # of checkpoint.pt; a reader refuses what it does not know


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
    kinds = dict.fromkeys(COLUMNS, (int, float)) | {"epoch": int, "method": str}
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
