"""Every data set as tensors on the device, batched without per-sample Python work.

    data = load_dataset("digits", data_dir="data")
    for x, target in data.train.batches(20):                     # (b, 1, 8, 8), (b, 10)
        ...

A set is read once and stays on the device in the type it is stored in (one byte a pixel); a batch
is one index operation and one division. A further set is a reader and a line in `DATASETS`.
"""

import contextlib
import gzip
import http.client
import importlib
import io
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch

from errors import DataError

SPLIT_SEED = 0  # which samples are for testing never depends on --seed
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
IDX_CLASSES = 10
DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer
INSTEAD = "use --dataset digits, which needs no files"


# ---------------------------------------------------------------------------------------- splits


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test part of a data set.

    Attributes:
        x: (n, *shape), as stored (uint8 for images), on the device.
        y: (n,), int64 class index; or (n, n_out), real targets in [0, 1]; on the device.
        n_classes: width of a target.
        scale: what 1.0 is stored as; batches are x / scale, in [0, 1].
        task: "classes" (the largest output is the answer), "bits" (each output is on or off, from
            1/2 on) or "values" (regression).
    """

    x: torch.Tensor
    y: torch.Tensor
    n_classes: int
    scale: float
    task: str = "classes"

    def __len__(self) -> int:
        return len(self.y)

    def batch(
        self, index: slice | torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The samples at `index` (a slice, or int64 (b,)), ready for a network.

        Returns:
            data: (b, *shape), in [0, 1]; always a copy, free to be written to.
            target: (b, n_classes), one-hot unless real targets are stored.
        """
        data = self.x[index].to(dtype, copy=True).div_(self.scale)
        if self.y.ndim == 2:
            return data, self.y[index].to(dtype)
        label = self.y[index].unsqueeze(1)  # (b, 1)
        target = data.new_zeros(len(label), self.n_classes).scatter_(1, label, 1.0)
        return data, target

    def n_batches(self, batch_size: int) -> int:
        """How many batches one pass hands out, a smaller last one included."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, a batch needs at least one sample")
        return -(-len(self) // batch_size)

    def batches(
        self,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        order: torch.Tensor | None = None,
        start: int = 0,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One pass over the split, `batch` by `batch`; the last may be smaller, none is dropped.

        Args:
            order: (n,), int64 permutation; None is the order as stored.
            start: number of batches to skip, so that an interrupted pass can go on.
        Raises:
            ValueError: batch_size, start or the length of order do not fit the split.
        """
        total = self.n_batches(batch_size)
        if not 0 <= start <= total:
            raise ValueError(f"start is {start}, a pass has {total} batches of {batch_size}")
        spans = (slice(i * batch_size, (i + 1) * batch_size) for i in range(start, total))
        if order is None:
            return (self.batch(span, dtype) for span in spans)
        if order.shape != self.y.shape[:1]:
            raise ValueError(f"order has shape {tuple(order.shape)}, the split {len(self)} samples")
        order = order.to(self.y.device)
        return (self.batch(order[span], dtype) for span in spans)

    def mistakes(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The error of each sample: 100 (%) for a wrong answer; in regression half the square.

        Args:
            output, target: (..., batch, n_out).
        Returns:
            (..., batch), the type of the output; NaN where the output is.
        """
        if self.task == "values":
            return (output - target).square().sum(-1) / 2
        if self.task == "bits":
            wrong = ((output >= 0.5) != (target >= 0.5)).any(-1)
        else:
            wrong = output.argmax(-1) != target.argmax(-1)
        return torch.where(output.isnan().any(-1), torch.nan, 100.0 * wrong)


class Dataset(NamedTuple):
    """A data set, whole and on the device; `shape` is (channels, height, width) for images."""

    name: str
    shape: tuple[int, ...]
    n_classes: int
    train: Split
    test: Split
    validation: Split | None = None  # taken out of the training data, to decide when to stop

    @property
    def unit(self) -> str:
        """Of the errors."""
        return "half squared error" if self.train.task == "values" else "%"


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


def some_of(data: Dataset, n: int, seed: int) -> Dataset:
    """Keep n training samples, drawn at random; the test data stay as they are.

    Raises:
        DataError: there are not so many.
    """
    total = len(data.train)
    if n > total:
        raise DataError(f"--train-samples {n}: {data.name} has {total} training samples")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    kept = order[:n].sort().values.to(data.train.y.device)
    return data._replace(train=replace(data.train, x=data.train.x[kept], y=data.train.y[kept]))


def choose_test(y: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and for testing, the same `share` of every class, in mixed order.

    Args:
        y: (n,), class index, at least two samples of each class.
    Returns:
        train, test: disjoint, together all of 0..n-1; every class is in both.
    """
    # RandomState: numpy promises that its numbers never change, newer generators may.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(y))
    for_test = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = order[y[order] == label]
        for_test[members[: max(1, round(share * len(members)))]] = True
    return order[~for_test[order]], order[for_test[order]]


# --------------------------------------------------------------------------- MNIST and its family


def read_mnist(
    kind: str, data_dir: str | Path | None, image_size: int | None, grey: bool | None
) -> tuple[Split, Split]:
    """MNIST or FashionMNIST (`kind`, torchvision's name), downloaded if it is nowhere to be found.

    Raises:
        DataError: the files are missing and cannot be downloaded, or one of them is damaged.
    """
    root = mnist_root(kind, data_dir)
    raw = root / kind / "raw"
    missing = [name for name in IDX_FILES if stored_file(raw, name) is None]
    if missing:
        download_mnist(kind, root, missing)
    train, test = (read_idx_pair(raw, *names) for names in (IDX_FILES[:2], IDX_FILES[2:]))
    if train.x.shape[1:] != test.x.shape[1:]:
        sizes = [f"{x.shape[2]}x{x.shape[3]}" for x in (train.x, test.x)]
        raise DataError(
            f"the images in {raw} are {sizes[0]} for training but {sizes[1]} for testing:"
            f" put whole files there, or {INSTEAD}"
        )
    return train, test


def mnist_root(kind: str, data_dir: str | Path | None) -> Path:
    """The folder that holds `kind`/raw, also when data_dir points at `kind` or `kind`/raw itself.

    Only a folder of that name counts: both sets use the same file names, and FashionMNIST/raw
    must not be read as MNIST.
    """
    folder = data_folder(data_dir)
    if folder.parts[-2:] == (kind, "raw"):
        return folder.parent.parent
    return folder.parent if folder.name == kind else folder


def stored_file(raw: Path, name: str) -> Path | None:
    """The idx file `name` in the folder, plain before packed; None if there is neither."""
    return next((path for path in (raw / name, raw / f"{name}.gz") if path.is_file()), None)


def download_mnist(kind: str, root: Path, missing: list[str]) -> None:
    """Fetch `kind` with torchvision, its mirrors and checksums, and put what is missing in place.

    A failure leaves the disk as it was; files that are there are never written over.
    """
    datasets = require("torchvision.datasets", "torchvision")
    raw = root / kind / "raw"
    try:
        # Fetched on the same disk, then moved: nobody meets half a file or an empty folder.
        existing = next(folder for folder in (raw, *raw.parents) if folder.is_dir())
        with tempfile.TemporaryDirectory(prefix=".download-", dir=existing) as fresh:
            with quiet_network():
                getattr(datasets, kind)(fresh, download=True)
            raw.mkdir(parents=True, exist_ok=True)
            for name in missing:
                os.replace(Path(fresh) / kind / "raw" / name, raw / name)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(
            f"{kind} is not complete in {raw} and downloading it failed ({brief_reason(error)}):"
            f" put {', '.join(missing)} there, plain or as .gz, or {INSTEAD}"
        ) from error


@contextlib.contextmanager
def quiet_network() -> Iterator[None]:
    """A server that does not answer is given up on; bars and chatter of the download are dropped.

    The timeout is a setting of the whole process, so it is put back.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)


def brief_reason(error: Exception) -> str:
    """The causes in torchvision's report (a heading, then address and cause per mirror), once."""
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [line for line in lines if line and not line.startswith(("Error downl", "Tried "))]
    plain = [line.removeprefix("<urlopen error ").removesuffix(">").strip(".") for line in causes]
    return "; ".join(dict.fromkeys(plain)) or type(error).__name__


def read_idx_pair(raw: Path, images_name: str, labels_name: str) -> Split:
    """Images and labels of one split, checked against each other."""
    datasets = require("torchvision.datasets.mnist", "torchvision")
    images_path, labels_path = stored_file(raw, images_name), stored_file(raw, labels_name)
    x = read_idx(images_path, datasets.read_image_file)  # (n, height, width)
    y = read_idx(labels_path, datasets.read_label_file)  # (n,)
    if len(x) != len(y):
        raise damaged(labels_path, f"{len(y)} labels for the {len(x)} images of {images_path.name}")
    if int(y.max()) >= IDX_CLASSES:
        raise damaged(labels_path, f"label {int(y.max())}, the highest is {IDX_CLASSES - 1}")
    return Split(x.unsqueeze(1), y, IDX_CLASSES, 255.0)


def read_idx(path: Path, read: Callable[[Path], torch.Tensor]) -> torch.Tensor:
    """One idx file through torchvision's reader `read`, unpacked aside if it is a .gz."""
    try:
        if path.suffix != ".gz":
            return read(path)
        with tempfile.TemporaryDirectory() as aside:  # the data folder may be read-only
            plain = Path(aside) / path.stem
            with gzip.open(path) as packed, plain.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            return read(plain)
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    except Exception as error:  # the reader indexes and asserts its way through whatever it meets
        raise damaged(path, "cut short, too long or not such a file at all") from error


def damaged(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} cannot be used ({reason}): put a whole copy there, or delete it to have the set"
        f" downloaded anew, or {INSTEAD}"
    )


# ---------------------------------------------------------------------------------------- digits


def read_digits(
    data_dir: str | Path | None, image_size: int | None, grey: bool | None
) -> tuple[Split, Split]:
    """The 1,797 digits of 8x8 pixels, 0..16, that come with scikit-learn: 1,500 and 297."""
    digits = require("sklearn.datasets", "scikit-learn").load_digits()
    x = torch.from_numpy(digits.images.astype(np.uint8)).unsqueeze(1)  # (1797, 1, 8, 8)
    y = torch.from_numpy(digits.target.astype(np.int64))
    parts = choose_test(digits.target, share=297 / 1797)
    train, test = (Split(x[part], y[part], len(digits.target_names), 16.0) for part in parts)
    return train, test


# ------------------------------------------------------------------- small tables of scikit-learn


def read_table(
    name: str, data_dir: str | Path | None, image_size: int | None, grey: bool | None
) -> tuple[Split, Split]:
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
    return tuple(Split(x[part], y[part], n_out, 1.0, task) for part in (train, test))


def scaled_columns(values: np.ndarray) -> np.ndarray:
    """Every column from 0 to 1, (n, columns)."""
    low, high = values.min(0), values.max(0)
    return (values - low) / (high - low)


# ------------------------------------------------------------------------------- logic operations

LOGIC = {  # inputs -> output, for every pattern there is
    "and": {(0, 0): 0, (0, 1): 0, (1, 0): 0, (1, 1): 1},
    "or": {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 1},
    "xor": {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0},
    "not": {(0,): 1, (1,): 0},
    "identity": {(0,): 0, (1,): 1},
}


def read_logic(
    name: str, data_dir: str | Path | None, image_size: int | None, grey: bool | None
) -> tuple[Split, Split]:
    """All patterns of a logic operation; they are for training and for testing alike."""
    x = torch.tensor(list(LOGIC[name]), dtype=torch.float64)  # (patterns, inputs)
    y = torch.tensor(list(LOGIC[name].values()), dtype=torch.float64)[:, None]
    split = Split(x, y, 1, 1.0, "bits")
    return split, split


def one_hot(data: Dataset) -> Dataset:
    """The same with an output per answer instead of one that is on or off."""

    def converted(split: Split) -> Split:
        return replace(split, y=split.y[:, 0].long(), n_classes=2, task="classes")

    train = converted(data.train)
    test = train if data.test is data.train else converted(data.test)
    return data._replace(n_classes=2, train=train, test=test)


# ------------------------------------------------------------------------------ folders of images


def read_folder(
    data_dir: str | Path | None, image_size: int | None, grey: bool | None
) -> tuple[Split, Split]:
    """Images in a folder per class, or in train/ and test/ with a folder per class each.

    Without train/ and test/, a fixed fifth of every class is for testing.

    Args:
        image_size: pixels a side; None is width and height of the first image.
        grey: one channel if true, else three.
    Raises:
        DataError: the folder does not hold such images, or one of them cannot be read.
    """
    if image_size is not None and image_size < 1:
        raise DataError(f"images cannot be made {image_size} pixels wide, 1 is the least")
    root = data_folder(data_dir)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: name one that holds a folder per class")
    divided = has_folders(root / "train") or has_folders(root / "test")
    classes, samples, train, test = list_divided(root) if divided else list_whole(root)
    mode = "L" if grey else "RGB"
    size = (image_size, image_size) if image_size else decode(samples[0][0], mode).shape[1:]
    ordered = [samples[i] for i in (*train, *test)]
    x = decode_all([path for path, _ in ordered], mode, size)  # (n, channels, height, width)
    y = torch.tensor([label for _, label in ordered])  # (n,)
    cut = len(train)
    return (
        Split(x[:cut], y[:cut], len(classes), 255.0),
        Split(x[cut:], y[cut:], len(classes), 255.0),
    )


def has_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())


def list_divided(root: Path) -> tuple[list[str], list[tuple[str, int]], Sequence, Sequence]:
    """What train/ and test/ hold.

    Returns:
        classes: their names, sorted.
        samples: (path, class index) of every image.
        train, test: which of the samples are for what.
    """
    for name in ("train", "test"):
        if not (root / name).is_dir():
            raise DataError(f"{root} has no {name}/ folder: give it both train/ and test/")
    classes, train = list_classes(root / "train")
    test_classes, test = list_classes(root / "test")
    if classes != test_classes:
        odd = ", ".join(sorted(set(classes) ^ set(test_classes)))
        raise DataError(f"train/ and test/ of {root} need the same classes but differ in {odd}")
    samples = train + test
    return classes, samples, range(len(train)), range(len(train), len(samples))


def list_whole(root: Path) -> tuple[list[str], list[tuple[str, int]], Sequence, Sequence]:
    """As `list_divided`, with the test images chosen here."""
    classes, samples = list_classes(root)
    labels = np.array([label for _, label in samples])
    single = [classes[label] for label, count in enumerate(np.bincount(labels)) if count < 2]
    if single:
        raise DataError(
            f"in {root} there is only one image for class {', '.join(single)},"
            " it takes one for training and one for testing"
        )
    return classes, samples, *choose_test(labels, share=0.2)


def list_classes(folder: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """Classes and (path, class index) of the images, both sorted, as ImageFolder finds them."""
    datasets = require("torchvision.datasets", "torchvision")
    try:
        found = datasets.ImageFolder(folder, allow_empty=True)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} has no class folders: put the images of each class in one"
        ) from error
    filled = set(found.targets)
    empty = [name for label, name in enumerate(found.classes) if label not in filled]
    if empty:
        raise DataError(f"there is no image for class {', '.join(empty)} in {folder}")
    if len(found.classes) < 2:
        raise DataError(f"{folder} has one class only ({found.classes[0]}), it takes two to learn")
    return found.classes, found.samples


def decode_all(paths: list[str], mode: str, size: tuple[int, int]) -> torch.Tensor:
    """All images at one size (height, width), uint8 (n, channels, height, width)."""
    pixels = np.empty((len(paths), len(mode), *size), dtype=np.uint8)  # a letter is a channel
    for i, path in enumerate(paths):
        pixels[i] = decode(path, mode, size)
    return torch.from_numpy(pixels)


def decode(path: str, mode: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """One image in PIL's `mode` L or RGB, at its own size or at `size` (height, width).

    Returns:
        uint8 (channels, height, width).
    """
    pil = require("PIL.Image", "pillow")
    try:
        with pil.open(path) as image:
            if image.mode.startswith("I;16"):  # convert() would clip 16 bits, not scale them
                image = pil.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert(mode)
    except Exception as error:  # a decoder that meets garbage raises whatever it likes
        reason = getattr(error, "strerror", None) or "damaged or of an unknown kind"
        raise DataError(f"{path} cannot be read as an image ({reason})") from error
    if size is not None:
        image = image.resize(size[::-1], pil.Resampling.BILINEAR)
    return np.atleast_3d(image).transpose(2, 0, 1)


# ------------------------------------------------------------------------------------------ all


# Each takes (data_dir, image_size, grey), uses what it needs, and returns (train, test).
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


def read_image_set(reader: str, *arguments) -> tuple[Split, Split]:
    """A reader of imageSets.py, which imports this module: hence imported on use."""
    return getattr(importlib.import_module("imageSets"), reader)(*arguments)


DATASETS = {
    "mnist": partial(read_mnist, "MNIST"),
    "fashion-mnist": partial(read_mnist, "FashionMNIST"),
    "digits": read_digits,
    "wine": partial(read_table, "wine"),
    "diabetes": partial(read_table, "diabetes"),
    **{name: partial(read_logic, name) for name in LOGIC},
    "cifar10": partial(read_image_set, "read_cifar", "CIFAR10"),
    "cifar100": partial(read_image_set, "read_cifar", "CIFAR100"),
    "tiny-imagenet": partial(read_image_set, "read_tiny_imagenet"),
    "folder": read_folder,
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
        data_dir: where the files are, or are downloaded to; unused by `digits`.
        image_size, grey: for `folder`, see `read_folder`.
    Raises:
        DataError: there is no such set, or it cannot be had.
    """
    if name not in DATASETS:
        raise DataError(f"there is no data set {name!r}, only {', '.join(DATASETS)}")
    try:
        parts = DATASETS[name](data_dir, image_size, grey)
    except OSError as error:
        raise DataError(f"{name} cannot be read from {data_dir} ({error})") from error
    train = replace(parts[0], x=parts[0].x.to(device), y=parts[0].y.to(device))
    test = train  # the same patterns, or samples of their own
    if parts[1] is not parts[0]:
        test = replace(parts[1], x=parts[1].x.to(device), y=parts[1].y.to(device))
    return Dataset(name, tuple(train.x.shape[1:]), train.n_classes, train, test)


def data_folder(data_dir: str | Path | None) -> Path:
    """data_dir in full; a folder, or nothing yet."""
    if data_dir is None:
        raise DataError("this data set is read from a folder: name it with --data-dir")
    folder = Path(os.path.abspath(os.path.expanduser(data_dir)))
    if folder.is_file():
        raise DataError(f"{folder} is a file: name the folder that holds the data set")
    return folder


def require(module: str, package: str) -> ModuleType:
    """Import on first use, for start-up is dear; a missing library is an error for people."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"this data set needs {package}: install it with pip install {package}"
        ) from error
