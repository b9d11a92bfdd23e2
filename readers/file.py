"""Data of one's own in one file, an .npz of arrays or a .csv with a header.

    parts = read_file(Source("flowers.csv"))

x are the inputs, y the targets: whole numbers or words are classes, real numbers are a regression.
x_test and y_test (of a CSV file a column `split` with train and test) are for testing; without them
a fifth of the samples is, the same with every --seed.
"""

from __future__ import annotations

import csv
import math
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from errors import DataError
from readers.base import SPLIT_SEED, Parts, Source, Split, choose_test

TEST_SHARE = 0.2
NAMES = ("x", "y", "x_test", "y_test")  # of the arrays
WORDS = {"train": False, "test": True}  # of the column split
NOTED_CLASSES = 10  # how many the note names
BROKEN = (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


class Table(NamedTuple):
    """What a file holds."""

    x: np.ndarray  # (n, ...)
    y: np.ndarray  # (n,) or (n, n_out)
    test: np.ndarray | None  # (n,), whether a sample is for testing; None: not said


def read_file(source: Source) -> Parts:
    """The samples of the file `source.data_dir`.

    Raises:
        DataError: there is no such file, or it does not hold inputs and targets that fit.
    """
    path = Path(source.data_dir or "").expanduser()
    if path.suffix.lower() not in READERS or not path.is_file():
        what = "there is no file" if path.suffix.lower() in READERS else "what is named is"
        raise DataError(
            f"--dataset file needs --data-dir FILE.npz or FILE.csv: {what} {source.data_dir}"
        )
    table = READERS[path.suffix.lower()](path)
    check_table(table, path)
    x, y, n_out, task, classes = inputs_of(table.x), *targets_of(table.y, path)
    test = table.test
    if test is None:
        test = drawn_test(y, task, classes, path)
    for part, what in ((~test, "training"), (test, "testing")):
        if not part.any():
            raise DataError(f"{path} has no sample for {what}")
    missing = {str(name) for k, name in enumerate(classes) if k not in y[~test]}
    if task == "classes" and missing:
        raise DataError(f"{path}: no sample for training is of class {', '.join(sorted(missing))}")
    x, scale, how = scaled(x, test)
    if task == "values":
        y, _, _ = scaled(y, test)
    y = torch.from_numpy(y)
    splits = (Split(torch.from_numpy(x[p]), y[p], n_out, scale, task) for p in (~test, test))
    return Parts(*splits, note_on(path, x, y.numpy(), classes, task, test, how))


# The two kinds of files --------------------------------------------------------------------------


def read_npz(path: Path) -> Table:
    """Arrays x and y, and x_test and y_test for testing."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in NAMES if name in file.files}
            others = ", ".join(file.files) or "nothing"
    except BROKEN as error:
        why = "arrays of objects" if "pickle" in str(error) else "damaged or not an .npz"
        raise DataError(
            f"{path} cannot be read ({why}): write it by numpy.savez(file, x=..., y=...)"
        ) from None
    for name in ("x", "y"):
        if name not in found:
            raise DataError(f"{path} has no array {name!r}: it needs x and y, it holds {others}")
    x, y = found["x"], found["y"]
    if ("x_test" in found) != ("y_test" in found):
        raise DataError(f"{path} has one of x_test and y_test only: testing needs both, or neither")
    if "x_test" not in found:
        return Table(x, y, None)
    for name, own in (("x", x), ("y", y)):
        other = found[f"{name}_test"]
        if own.shape[1:] != other.shape[1:]:
            raise DataError(
                f"{path}: the samples of {name} have shape {own.shape[1:]}, those of {name}_test "
                f"{other.shape[1:]}"
            )
        if len(found[f"{name}_test"]) != len(found["x_test"]):
            raise DataError(
                f"{path}: x_test has {len(found['x_test'])} samples, y_test {len(other)}"
            )
    if len(x) != len(y):
        raise DataError(f"{path}: x has {len(x)} samples, y {len(y)}")
    test = np.arange(len(x) + len(found["x_test"])) >= len(x)
    whole = (np.concatenate([own, found[f"{n}_test"]]) for n, own in (("x", x), ("y", y)))
    return Table(*whole, test)


def read_csv(path: Path) -> Table:
    """A header, then a line per sample: the column y is the target, split says what it is for, all

    others are inputs.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error})") from None
    if not lines:
        raise DataError(f"{path} is empty")
    names = [name.strip() for name in lines[0]]
    if names.count("y") != 1:
        raise DataError(
            f"{path} needs a header with one column y, the target: it has {', '.join(names[:8])}"
        )
    for k, line in enumerate(lines[1:], 2):
        if len(line) != len(names):
            raise DataError(f"{path}: line {k} has {len(line)} cells, the header {len(names)}")
    columns = dict(zip(names, np.array(lines[1:], str).reshape(-1, len(names)).T, strict=True))
    if len(columns) < len(names):
        raise DataError(f"{path} has two columns of the same name")
    y, split = columns.pop("y"), columns.pop("split", None)
    if not columns:
        raise DataError(f"{path} has no column beside y: there is nothing to learn from")
    x = np.array([numbers_in(cells, name, path) for name, cells in columns.items()]).T
    test = None
    if split is not None:
        wrong = sorted(set(split) - set(WORDS))
        if wrong:
            raise DataError(f"{path}: the column split has {str(wrong[0])!r}, not train or test")
        test = np.array([WORDS[word] for word in split], bool)
    return Table(x, typed_targets(y), test)


def numbers_in(cells: np.ndarray, name: str, path: Path) -> list[float]:
    """A column of inputs.

    Raises:
        DataError: a cell is no number.
    """
    found = []
    for k, cell in enumerate(cells, 2):
        try:
            found.append(float(cell))
        except ValueError:
            raise DataError(
                f"{path}: line {k} has {str(cell)!r} in column {name}, inputs are numbers"
            ) from None
    return found


def typed_targets(cells: np.ndarray) -> np.ndarray:
    """Whole numbers if all are such, else real numbers if all are, else words."""
    for kind in (int, float):
        try:
            return np.array([kind(cell) for cell in cells])
        except (ValueError, OverflowError):
            continue
    return np.array([cell.strip() for cell in cells])


READERS = {".npz": read_npz, ".csv": read_csv}


# What they hold ----------------------------------------------------------------------------------


def check_table(table: Table, path: Path) -> None:
    """Raise DataError unless inputs and targets are numbers that fit each other."""
    x, y, _ = table
    if x.ndim not in (2, 3, 4) or not x.size:
        raise DataError(
            f"{path}: x has shape {x.shape}: it must be (samples, inputs), or of images (samples, "
            "height, width) or (samples, channels, height, width)"
        )
    if y.ndim not in (1, 2) or not y.size:
        raise DataError(
            f"{path}: y has shape {y.shape}: it must be (samples,) or (samples, outputs)"
        )
    if len(x) != len(y):
        raise DataError(f"{path}: x has {len(x)} samples, y {len(y)}")
    for name, values, kinds in (("x", x, "buif"), ("y", y, "buifUS")):
        if values.dtype.kind not in kinds:
            raise DataError(f"{path}: {name} is of type {values.dtype}, it must be numbers")
        if values.dtype.kind == "f" and not (fine := np.isfinite(values)).all():
            first = int(np.argmin(fine.reshape(len(fine), -1).all(1)))
            raise DataError(
                f"{path}: {name} is NaN or infinite in sample {first} (counted from 0): correct it "
                "or leave the sample out"
            )
    if y.ndim == 2 and y.dtype.kind != "f":
        raise DataError(f"{path}: y has shape {y.shape}: classes are (samples,), one for each")


def inputs_of(x: np.ndarray) -> np.ndarray:
    """x with channels, if it is of images; bytes stay bytes."""
    if x.ndim == 3:
        x = x[:, None]
    return x if x.dtype == np.uint8 and x.ndim == 4 else x.astype(np.float32)


def targets_of(y: np.ndarray, path: Path) -> tuple[np.ndarray, int, str, np.ndarray]:
    """y as a network's target, its width, the task, and the classes.

    Raises:
        DataError: there is one class only.
    """
    if y.dtype.kind == "f":
        values = y.reshape(len(y), -1).astype(np.float32)
        return values, values.shape[1], "values", np.empty(0)
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{path} has one class only ({classes[0]}), it takes two to learn")
    return labels.reshape(-1).astype(np.int64), len(classes), "classes", classes


def drawn_test(y: np.ndarray, task: str, classes: np.ndarray, path: Path) -> np.ndarray:
    """Which samples are for testing, (n,): a fifth, of classes a fifth of each."""
    test = np.zeros(len(y), bool)
    if task == "values":
        order = np.random.RandomState(SPLIT_SEED).permutation(len(y))
        test[order[: max(1, round(TEST_SHARE * len(y)))]] = True
        return test
    single = [str(classes[k]) for k, n in enumerate(np.bincount(y)) if n < 2]
    if single:
        raise DataError(
            f"{path} has one sample only of class {', '.join(single[:3])}: it takes one for "
            "training and one for testing"
        )
    test[choose_test(y, TEST_SHARE)[1]] = True
    return test


def scaled(values: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, float, str]:
    """Values from 0 to 1, as networks take them, what 1 is stored as, and how in words.

    What is there already stays as it is. Of tables every column is scaled, of images all pixels
    together, by the lowest and the highest value for training.
    """
    if values.dtype == np.uint8:
        return values, 255.0, "bytes"
    if values.min() >= 0 and values.max() <= 1:
        return values, 1.0, "as they are, from 0 to 1"
    axes = 0 if values.ndim == 2 else None
    train = values[~test]
    low, high = train.min(axes), train.max(axes)
    width = np.where(high > low, high - low, 1)
    how = "every column scaled to [0, 1]" if values.ndim == 2 else "scaled to [0, 1]"
    return ((values - low) / width).astype(np.float32), 1.0, how


def note_on(path, x, y, classes, task, test, how) -> str:
    """A line for people: what was found, and what for."""
    shape = "x".join(map(str, x.shape[1:]))
    kind = f"{math.prod(x.shape[1:])} inputs" if x.ndim == 2 else f"images {shape}"
    if task == "values":
        what = f"regression, {y.shape[1]} target{'s' * (y.shape[1] > 1)}"
    else:
        counts = [f"{c} {n}" for c, n in zip(classes, np.bincount(y), strict=True)]
        more = f" and {len(counts) - NOTED_CLASSES} more" if len(counts) > NOTED_CLASSES else ""
        what = f"{len(classes)} classes ({', '.join(counts[:NOTED_CLASSES])}{more})"
    return (
        f"{path}: {what}, {kind} ({how}), {int((~test).sum())} samples for training and "
        f"{int(test.sum())} for testing"
    )
