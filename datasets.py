"""Every data set as tensors on the device, batched without per-sample Python work.

    data = load_dataset("digits", data_dir="data")
    for x, target in data.train.batches(20):                     # (b, 1, 8, 8), (b, 10)
        ...

A set is read once and stays on the device in the type it is stored in (one byte a pixel); a batch
is one index operation and one division. A further set is a reader, its name in readers/names.py
and a line in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from errors import DataError
from parallel import ALONE, Team
from readers.base import SPLIT_SEED, Parts, Source, Split, choose_test, require
from readers.cifar import read_cifar
from readers.file import read_file
from readers.folder import read_folder
from readers.mnist import read_mnist
from readers.svhn import read_svhn
from readers.tinyImagenet import read_tiny_imagenet


class Dataset(NamedTuple):
    """A data set, whole and on the device; `shape` is (channels, height, width) for images."""

    name: str
    shape: tuple[int, ...]
    n_classes: int
    train: Split
    test: Split
    validation: Split | None = None  # taken out of the training data, to decide when to stop
    note: str = ""  # for people: what was found in a folder, and what was left out

    @property
    def unit(self) -> str:
        """Of the errors."""
        return "half squared error" if self.train.task == "values" else "%"


AT_A_TIME = 1000  # samples that are measured together, as numbers take more space than pixels
MARGIN = 4  # pixels by which a picture is moved at most, up and down, right and left


def normalised(data: Dataset) -> Dataset:
    """The same with inputs of mean 0 and standard deviation 1 over all training data.

    Of images per channel, else per column; what never changes keeps its scale.
    """
    x, sums = data.train.x, [0.0, 0.0]
    axes = [0, *range(2, x.dim())]
    for part in x.split(AT_A_TIME):
        values = part.double() / data.train.scale
        sums[0] += values.sum(axes)
        sums[1] += values.square().sum(axes)
    n = x.numel() / x.shape[1]
    mean = sums[0] / n
    std = (sums[1] / n - mean.square()).clamp(min=0.0).sqrt()
    std = torch.where(std > 1e-6, std, 1.0)
    shape = (-1, *(1 for _ in axes[1:]))
    given = {"mean": mean.view(shape), "std": std.view(shape)}
    train = replace(data.train, **given)
    test = train if data.test is data.train else replace(data.test, **given)
    return data._replace(train=train, test=test)


def crop_and_flip(x: torch.Tensor, team: Team = ALONE) -> torch.Tensor:
    """Images (batch, channels, height, width), each moved at random and mirrored or not.

    They are moved by up to MARGIN pixels each way, the last row or column going on at the edge.
    Randomness is from torch's global generator, for the whole batch, of which a team has parts.
    """
    height, width = x.shape[2:]
    [n, *_] = team.whole_shape(x.shape)
    moves = team.cut(torch.randint(-MARGIN, MARGIN + 1, (n, 2))).to(x.device)
    mirrored = team.cut(torch.rand(n, 1) < 0.5).to(x.device)
    rows = (torch.arange(height, device=x.device) + moves[:, :1]).clamp_(0, height - 1)
    columns = (torch.arange(width, device=x.device) + moves[:, 1:]).clamp_(0, width - 1)
    columns = torch.where(mirrored, columns.flip(1), columns)
    sample = torch.arange(len(x), device=x.device)[:, None, None]
    return x[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def hold_out(data: Dataset, share: float, seed: int) -> Dataset:
    """Take a random share of the training data out for validation.

    Raises:
        DataError: either part would be empty.
    """
    n = len(data.train)
    n_held = round(share * n)
    if not 0 < n_held < n:
        raise DataError(
            f"--validation {share:g} of {n} samples leaves nothing for one of the parts"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).to(data.train.y.device)
    held, kept = order[:n_held].sort().values, order[n_held:].sort().values
    train, validation = (
        replace(data.train, x=data.train.x[part], y=data.train.y[part]) for part in (kept, held)
    )
    return data._replace(train=train, validation=validation)


def some_of(data: Dataset, n: int, seed: int, part: str = "train") -> Dataset:
    """Keep n samples for training (`part` "train") or testing ("test"), drawn at random; the

    others stay as they are.

    Raises:
        DataError: there are not so many, or those for testing are those for training.
    """
    split = getattr(data, part)
    total, name = len(split), {"train": "training", "test": "test"}[part]
    if n > total:
        raise DataError(f"--{part}-samples {n}: {data.name} has {total} {name} samples")
    if part == "test" and data.test is data.train:
        raise DataError(f"--test-samples: {data.name} is tested on what is learnt, all of it")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    kept = order[:n].sort().values.to(split.y.device)
    return data._replace(**{part: replace(split, x=split.x[kept], y=split.y[kept])})


# ---------------------------------------------------------------------------------------- digits


def read_digits(source: Source) -> Parts:
    """The 1,797 digits of 8x8 pixels, 0..16, that come with scikit-learn: 1,500 and 297."""
    digits = require("sklearn.datasets", "scikit-learn").load_digits()
    x = torch.from_numpy(digits.images.astype(np.uint8)).unsqueeze(1)  # (1797, 1, 8, 8)
    y = torch.from_numpy(digits.target.astype(np.int64))
    parts = choose_test(digits.target, share=297 / 1797)
    return Parts(*(Split(x[part], y[part], len(digits.target_names), 16.0) for part in parts))


# ------------------------------------------------------------------- small tables of scikit-learn


def read_table(name: str, source: Source) -> Parts:
    """scikit-learn's `wine` (13 features, 3 classes; 150 and 28) or `diabetes` (regression from

    10 features; 400 and 42). As Gammell et al. 2021 do, every column, the target of diabetes
    included, is scaled to [0, 1] over all samples, those for testing too.
    """
    table = getattr(require("sklearn.datasets", "scikit-learn"), f"load_{name}")()
    x, y = torch.from_numpy(scaled_columns(table.data)), table.target
    if name == "wine":
        train, test = choose_test(y, share=28 / 178)
        y, n_out, task = torch.from_numpy(y.astype(np.int64)), len(table.target_names), "classes"
    else:
        order = np.random.RandomState(SPLIT_SEED).permutation(len(y))
        train, test = order[:400], order[400:]
        y, n_out, task = torch.from_numpy(scaled_columns(y[:, None])), 1, "values"
    return Parts(*(Split(x[part], y[part], n_out, 1.0, task) for part in (train, test)))


def scaled_columns(values: np.ndarray) -> np.ndarray:
    """Every column from 0 to 1, (n, columns); what is NaN or infinite spoils no other value."""
    fine = np.isfinite(values)
    low = values.min(0, where=fine, initial=np.inf)
    high = values.max(0, where=fine, initial=-np.inf)
    return (values - low) / (high - low)


# ------------------------------------------------------------------------------- logic operations

LOGIC = {  # inputs -> output, for every pattern there is
    "and": {(0, 0): 0, (0, 1): 0, (1, 0): 0, (1, 1): 1},
    "or": {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 1},
    "xor": {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0},
    "not": {(0,): 1, (1,): 0},
    "identity": {(0,): 0, (1,): 1},
}


def read_logic(name: str, source: Source) -> Parts:
    """All patterns of a logic operation; they are for training and for testing alike."""
    x = torch.tensor(list(LOGIC[name]), dtype=torch.float64)  # (patterns, inputs)
    y = torch.tensor(list(LOGIC[name].values()), dtype=torch.float64)[:, None]
    split = Split(x, y, 1, 1.0, "bits")
    return Parts(split, split)


def one_hot(data: Dataset) -> Dataset:
    """The same with an output per answer instead of one that is on or off."""

    def converted(split: Split) -> Split:
        return replace(split, y=split.y[:, 0].long(), n_classes=2, task="classes")

    train = converted(data.train)
    test = train if data.test is data.train else converted(data.test)
    return data._replace(n_classes=2, train=train, test=test)


# ----------------------------------------------------------------------------------------- random


def random_dataset(
    n_in: int, n_classes: int, seed: int, device: str | torch.device = "cpu", n: int = 1000
) -> Dataset:
    """Inputs uniform in [0, 1] and random classes, for measures that need no meaning in the data.

    The paper's toy model is shown on such data (Ernoult et al. 2019, fig. 2).
    """
    generator = torch.Generator().manual_seed(seed)

    def part() -> Split:
        x = torch.rand(n, n_in, generator=generator).to(device)
        y = torch.randint(n_classes, (n,), generator=generator).to(device)
        return Split(x, y, n_classes, 1.0)

    return Dataset("random", (n_in,), n_classes, part(), part())


# ------------------------------------------------------------------------------------ all of them


DATASETS: dict[str, Callable[[Source], Parts]] = {
    "mnist": partial(read_mnist, "MNIST"),
    "fashion-mnist": partial(read_mnist, "FashionMNIST"),
    "kmnist": partial(read_mnist, "KMNIST"),
    "digits": read_digits,
    "wine": partial(read_table, "wine"),
    "diabetes": partial(read_table, "diabetes"),
    **{name: partial(read_logic, name) for name in LOGIC},
    "cifar10": partial(read_cifar, "CIFAR10"),
    "cifar100": partial(read_cifar, "CIFAR100"),
    "svhn": read_svhn,
    "tiny-imagenet": read_tiny_imagenet,
    "folder": read_folder,
    "file": read_file,
}


def load_dataset(
    name: str,
    data_dir: str | Path | None,
    device: str | torch.device = "cpu",
    image_size: int | None = None,
    grey: bool | None = None,
) -> Dataset:
    """Read a data set and move it to the device, once.

    Args:
        name: a key of `DATASETS`.
        data_dir, image_size, grey: see `Source`.
    Raises:
        DataError: there is no such set, it cannot be had, or values of it are not numbers.
    """
    if name not in DATASETS:
        raise DataError(f"there is no data set {name!r}, only {', '.join(DATASETS)}")
    try:
        parts = DATASETS[name](Source(data_dir, image_size, bool(grey)))
    except OSError as error:
        raise DataError(f"{name} cannot be read from {data_dir} ({error})") from error
    check_values(parts.train, f"the training data of {name}")
    check_values(parts.test, f"the test data of {name}")
    train = replace(parts.train, x=parts.train.x.to(device), y=parts.train.y.to(device))
    test = train  # the same patterns, or samples of their own
    if parts.test is not parts.train:
        test = replace(parts.test, x=parts.test.x.to(device), y=parts.test.y.to(device))
    shape = tuple(train.x.shape[1:])
    return Dataset(name, shape, train.n_classes, train, test, note=parts.note)


def check_values(split: Split, where: str) -> None:
    """What is not a number would be blamed on the learning rates, or pass as a result.

    Raises:
        DataError: an input or a target is NaN or infinite.
    """
    for what, values in (("inputs", split.x), ("targets", split.y)):
        if not values.is_floating_point() or (fine := values.isfinite()).all():
            continue
        wrong = (~fine).flatten(1).sum(1)  # (n,), per sample
        raise DataError(
            f"{int(wrong.sum())} {what} in {where} are NaN or infinite, the first in sample"
            f" {int(wrong.nonzero()[0])} (counted from 0): correct them or leave these samples out"
        )
