"""MNIST and what is stored as it is, in four idx files: plain, packed, or downloaded.

train, test, _ = read_mnist("MNIST", Source("data"))    # (60000, 1, 28, 28) and (10000, ...)
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import torch

from errors import DataError
from readers.base import INSTEAD, Parts, Source, Split, download_aside, require, unusable

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
IDX_CLASSES = 10
BYTES = 8  # an idx file's name for them
NO_IDX = "cut short, too long or not such a file at all"


def read_mnist(kind: str, source: Source) -> Parts:
    """MNIST or FashionMNIST (`kind`, torchvision's name), downloaded if it is nowhere to be found.

    Raises:
        DataError: the files are missing and cannot be downloaded, or one of them is damaged.
    """
    root = mnist_root(kind, source.folder())
    raw = root / kind / "raw"
    missing = [name for name in IDX_FILES if stored_file(raw, name) is None]
    if missing:
        download_mnist(kind, raw, missing)
    train, test = (read_idx_pair(raw, *names) for names in (IDX_FILES[:2], IDX_FILES[2:]))
    if train.x.shape[1:] != test.x.shape[1:]:
        sizes = [f"{x.shape[2]}x{x.shape[3]}" for x in (train.x, test.x)]
        raise DataError(
            f"the images in {raw} are {sizes[0]} for training but {sizes[1]} for testing:"
            f" put whole files there, or {INSTEAD}"
        )
    return Parts(train, test)


def mnist_root(kind: str, folder: Path) -> Path:
    """What holds `kind`/raw, also when the folder is `kind` or `kind`/raw itself.

    Only a folder of that name counts: both sets use the same file names, and FashionMNIST/raw
    must not be read as MNIST.
    """
    if folder.parts[-2:] == (kind, "raw"):
        return folder.parent.parent
    return folder.parent if folder.name == kind else folder


def stored_file(raw: Path, name: str) -> Path | None:
    """The idx file `name` in the folder, plain before packed; None if there is neither."""
    return next((path for path in (raw / name, raw / f"{name}.gz") if path.is_file()), None)


def download_mnist(kind: str, raw: Path, missing: list[str]) -> None:
    """Fetch `kind` with torchvision, its mirrors and checksums, and put what is missing in place.

    Files that are there are never written over.
    """
    datasets = require("torchvision.datasets", "torchvision")
    lack = f"{kind} is not complete in {raw}"
    with download_aside(raw, lack, f"put {', '.join(missing)} there, plain or as .gz") as fresh:
        getattr(datasets, kind)(fresh, download=True)
        raw.mkdir(parents=True, exist_ok=True)
        for name in missing:
            os.replace(fresh / kind / "raw" / name, raw / name)


def read_idx_pair(raw: Path, images_name: str, labels_name: str) -> Split:
    """Images and labels of one split, checked against each other."""
    images_path, labels_path = stored_file(raw, images_name), stored_file(raw, labels_name)
    x = read_idx(images_path, 3)  # (n, height, width)
    y = read_idx(labels_path, 1).long()  # (n,)
    if len(x) != len(y):
        raise unusable(
            labels_path, f"{len(y)} labels for the {len(x)} images of {images_path.name}"
        )
    if int(y.max()) >= IDX_CLASSES:
        raise unusable(labels_path, f"label {int(y.max())}, the highest is {IDX_CLASSES - 1}")
    return Split(x.unsqueeze(1), y, IDX_CLASSES, 255.0)


def read_idx(path: Path, n_axes: int) -> torch.Tensor:
    """An idx file of bytes, plain or packed, as a tensor of so many axes.

    It holds two zeros, the kind of its values (8: bytes), the number of axes, the length of each
    as four bytes, the highest first, and the values. By hand, because to import torchvision takes
    longer than many a run.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    except (EOFError, zlib.error) as error:
        raise unusable(path, NO_IDX) from error
    head = 4 + 4 * n_axes
    shape = struct.unpack(f">{n_axes}I", content[4:head]) if len(content) > head else ()
    if content[:4] != bytes((0, 0, BYTES, n_axes)) or math.prod(shape) != len(content) - head:
        raise unusable(path, NO_IDX)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=head).view(shape)
