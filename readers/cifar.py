"""CIFAR-10 and CIFAR-100, of the binary or the Python archive.

train, test, _ = read_cifar("CIFAR10", Source("data"))  # (50000, 3, 32, 32) and (10000, ...)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from readers.base import Parts, Source, Split, download_aside, require, unusable

PIXELS = (3, 32, 32)  # of a CIFAR image: channels, height, width


class CifarLayout(NamedTuple):
    """How the binary version stores a set: records of label bytes, then the pixels."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_bytes: int  # the last of them is the class
    n_classes: int


CIFAR = {
    "CIFAR10": CifarLayout(
        "cifar-10-batches-bin",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        label_bytes=1,
        n_classes=10,
    ),
    "CIFAR100": CifarLayout(  # a coarse label of 20 classes, then the fine one
        "cifar-100-binary", ("train.bin",), ("test.bin",), label_bytes=2, n_classes=100
    ),
}


def read_cifar(kind: str, source: Source) -> Parts:
    """CIFAR10 or CIFAR100 (`kind`, torchvision's name), downloaded if it is nowhere to be found.

    The binary version is read where it is there. The Python version is made of pickles, which can
    run any code: torchvision reads them, after comparing each with its published checksum.

    Returns:
        train, test: x (n, 3, 32, 32), uint8.
    Raises:
        DataError: the files are missing and cannot be downloaded, or one of them is damaged.
    """
    layout, published = CIFAR[kind], getattr(require("torchvision.datasets", "torchvision"), kind)
    folders = (layout.folder, published.base_folder)
    root = source.folder()
    if root.name in folders:
        root = root.parent
    binary, python = (root / folder for folder in folders)
    if binary.is_dir():
        return Parts(
            *(read_records(binary, names, layout) for names in (layout.train, layout.test))
        )
    if not python.is_dir():
        download_cifar(published, root, folders)
    return Parts(*(read_python_cifar(published, root, layout, part) for part in (True, False)))


def read_records(folder: Path, names: tuple[str, ...], layout: CifarLayout) -> Split:
    """The files `names` of the binary version, one after the other."""
    length = layout.label_bytes + np.prod(PIXELS)
    parts = []
    for name in names:
        path = folder / name
        try:
            content = np.fromfile(path, dtype=np.uint8)
        except OSError as error:
            raise unusable(path, error.strerror or str(error), folder) from error
        if len(content) == 0 or len(content) % length:
            reason = f"{len(content)} bytes, images take {length} each"
            raise unusable(path, reason, folder)
        records = content.reshape(-1, length)
        highest = records[:, layout.label_bytes - 1].max()
        if highest >= layout.n_classes:
            reason = f"label {highest}, the highest is {layout.n_classes - 1}"
            raise unusable(path, reason, folder)
        parts.append(records)
    x = np.concatenate([records[:, layout.label_bytes :] for records in parts])
    y = np.concatenate([records[:, layout.label_bytes - 1] for records in parts])
    return Split(
        torch.from_numpy(x).unflatten(1, PIXELS),
        torch.from_numpy(y.astype(np.int64)),
        layout.n_classes,
        255.0,
    )


def read_python_cifar(published: type, root: Path, layout: CifarLayout, train: bool) -> Split:
    """A split of the Python version through torchvision's class `published`."""
    utils = require("torchvision.datasets.utils", "torchvision")
    folder = root / published.base_folder
    files = [*published.train_list, *published.test_list]
    for name, checksum in [*files, (published.meta["filename"], published.meta["md5"])]:
        if not (folder / name).is_file():
            raise unusable(folder / name, "it is not there", folder)
        if not utils.check_integrity(folder / name, checksum):
            raise unusable(folder / name, "its checksum is not the published one", folder)
    images = published(root, train=train)  # (n, height, width, channels)
    x = torch.from_numpy(np.ascontiguousarray(images.data.transpose(0, 3, 1, 2)))
    return Split(x, torch.tensor(images.targets), layout.n_classes, 255.0)


def download_cifar(published: type, root: Path, folders: tuple[str, str]) -> None:
    """Fetch the Python version with torchvision and its checksums, and put it in place."""
    remedy = f"unpack one of its archives there, which gives {' or '.join(folders)}"
    with download_aside(root, f"{published.__name__} is not in {root}", remedy) as fresh:
        published(fresh, train=False, download=True)
        root.mkdir(parents=True, exist_ok=True)
        os.replace(fresh / published.base_folder, root / published.base_folder)
