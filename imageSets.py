"""Readers of the published image sets that are more than a folder of images.

    train, test = read_cifar("CIFAR10", "data")             # (50000, 3, 32, 32) and (10000, ...)
    train, test = read_tiny_imagenet("data")                # (100000, 3, 64, 64) and (10000, ...)

Each looks for the files where the published archives put them, downloads what is nowhere to be
found, and returns one uint8 tensor per split. `datasets.load_dataset` calls them by name.
"""

from __future__ import annotations

import contextlib
import http.client
import lzma
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch

from datasets import (
    INSTEAD,
    Split,
    brief_reason,
    data_folder,
    decode,
    decode_all,
    quiet_network,
    require,
)
from errors import DataError

PIXELS = (3, 32, 32)  # of a CIFAR image: channels, height, width
TINY = "tiny-imagenet-200"  # the folder, and the archive without its .zip
TINY_URL = f"https://cs231n.stanford.edu/{TINY}.zip"
TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")
CACHE_KEYS = {"x", "y", "n_train", "n_classes"}
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)


def unusable(path: Path, reason: str, whole: Path) -> DataError:
    """The error for a file of the set that is kept in the folder or archive `whole`."""
    return DataError(
        f"{path} cannot be used ({reason}): put a whole copy there, or delete {whole} to have the"
        f" set downloaded anew, or {INSTEAD}"
    )


@contextlib.contextmanager
def work_aside(root: Path) -> Iterator[Path]:
    """A folder on the disk of `root`, which need not exist; what is done is moved out of it.

    Nobody meets half a file, and a failure leaves the disk as it was.
    """
    existing = next(folder for folder in (root, *root.parents) if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".aside-", dir=existing) as fresh:
        yield Path(fresh)


# ----------------------------------------------------------------------------------------- CIFAR


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


def read_cifar(
    kind: str,
    data_dir: str | Path | None,
    image_size: int | None = None,
    grey: bool | None = None,
) -> tuple[Split, Split]:
    """CIFAR10 or CIFAR100 (`kind`, torchvision's name), downloaded if it is nowhere to be found.

    The binary version is read where it is there. The Python version is made of pickles, which can
    run any code: torchvision reads them, after comparing each with its published checksum.

    Args:
        image_size, grey: not used, the images are as published.
    Returns:
        train, test: x (n, 3, 32, 32), uint8.
    Raises:
        DataError: the files are missing and cannot be downloaded, or one of them is damaged.
    """
    layout, published = CIFAR[kind], getattr(require("torchvision.datasets", "torchvision"), kind)
    folders = (layout.folder, published.base_folder)
    root = data_folder(data_dir)
    if root.name in folders:
        root = root.parent
    binary, python = (root / folder for folder in folders)
    if binary.is_dir():
        train, test = (read_records(binary, names, layout) for names in layout[1:3])
        return train, test
    if not python.is_dir():
        download_cifar(published, root, folders)
    train, test = (read_python_cifar(published, root, layout, part) for part in (True, False))
    return train, test


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
    try:
        with work_aside(root) as fresh:
            with quiet_network():
                published(fresh, train=False, download=True)
            root.mkdir(parents=True, exist_ok=True)
            os.replace(fresh / published.base_folder, root / published.base_folder)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(
            f"{published.__name__} is not in {root} and downloading it failed"
            f" ({brief_reason(error)}): unpack one of its archives there, which gives"
            f" {' or '.join(folders)}, or {INSTEAD}"
        ) from error


# --------------------------------------------------------------------------------- Tiny ImageNet


class ImageList(NamedTuple):
    """Images of a split, and the class index of each."""

    paths: list[str]
    labels: list[int]


def read_tiny_imagenet(
    data_dir: str | Path | None, image_size: int | None = None, grey: bool | None = None
) -> tuple[Split, Split]:
    """Tiny ImageNet: its training images, and its validation images as the test split.

    The images are decoded once, to RGB, and kept as one tensor file beside their folder; delete
    the file to have them read again. The labels of the published test images are secret.

    Args:
        data_dir: holds the published zip or the folder it unpacks to; both are used once, then
            the tensor file alone is enough.
        image_size, grey: not used, the images are as published.
    Returns:
        train, test: x (n, 3, 64, 64), uint8; classes in the order of wnids.txt.
    Raises:
        DataError: the files are missing and cannot be downloaded, or one of them is damaged.
    """
    root = data_folder(data_dir)
    if root.name == TINY:
        root = root.parent
    cache = root / f"{TINY}.pt"
    kept = load_cache(cache) if cache.is_file() else None
    return kept or decode_tiny_imagenet(find_tiny_imagenet(root), cache)


def find_tiny_imagenet(root: Path) -> Path:
    """The folder of the set below `root`, unpacked or downloaded if need be."""
    folder, archive = root / TINY, root / f"{TINY}.zip"
    if not folder.is_dir():
        if not archive.is_file():
            download_tiny_imagenet(archive)
        unpack_tiny_imagenet(archive, folder)
    return folder


def download_tiny_imagenet(archive: Path) -> None:
    utils = require("torchvision.datasets.utils", "torchvision")
    note(f"downloading {TINY_URL} (248 MB)")
    try:
        with work_aside(archive.parent) as fresh:
            with quiet_network():
                utils.download_url(TINY_URL, fresh, archive.name, TINY_MD5)
            archive.parent.mkdir(parents=True, exist_ok=True)
            os.replace(fresh / archive.name, archive)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(
            f"Tiny ImageNet is not in {archive.parent} and downloading {TINY_URL} failed"
            f" ({brief_reason(error)}): put {archive.name} there, or {INSTEAD}"
        ) from error


def unpack_tiny_imagenet(archive: Path, folder: Path) -> None:
    """Unpack what is read of the archive, all or nothing, and nothing outside `folder`."""
    try:
        with zipfile.ZipFile(archive) as packed, work_aside(folder.parent) as fresh:
            members = [m for m in packed.infolist() if wanted_member(m, archive)]
            if not members:
                raise unusable(archive, f"it holds no {TINY}/train and {TINY}/val", archive)
            needed, free = sum(m.file_size for m in members), shutil.disk_usage(fresh).free
            if needed > free:
                raise DataError(
                    f"{archive} unpacks to {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free"
                    " beside it: make room"
                )
            packed.extractall(fresh, members)
            os.replace(fresh / TINY, folder)
    except BROKEN_ZIP as error:
        raise unusable(archive, f"damaged or not a zip: {error}", archive) from error
    except OSError as error:
        if not folder.is_dir():  # else another run was faster
            reason = error.strerror or str(error)
            raise DataError(f"{archive} cannot be unpacked beside itself ({reason})") from error


def wanted_member(member: zipfile.ZipInfo, archive: Path) -> bool:
    """Whether a member is of the training or validation images; it must stay in the folder."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.filename:
        raise unusable(archive, f"a member leads out of it: {member.filename}", archive)
    return path.parts[:1] == (TINY,) and path.parts[1:2] in (("wnids.txt",), ("train",), ("val",))


def decode_tiny_imagenet(folder: Path, cache: Path) -> tuple[Split, Split]:
    """Read the images of the folder, and keep them in the file `cache`."""
    classes = list_tiny_classes(folder)
    train, test = list_tiny_train(folder, classes), list_tiny_test(folder, classes)
    paths = train.paths + test.paths
    size = decode(paths[0], "RGB").shape[1:]
    gigabytes = len(paths) * 3 * size[0] * size[1] / 1e9
    note(
        f"Tiny ImageNet: decoding {len(paths)} images once; they take {gigabytes:.2g} GB of memory"
    )
    x = decode_all(paths, "RGB", size)  # (n, 3, height, width)
    content = {
        "x": x,
        "y": torch.tensor(train.labels + test.labels),
        "n_train": len(train.paths),
        "n_classes": len(classes),
    }
    try:
        with work_aside(cache.parent) as fresh:
            torch.save(content, fresh / cache.name)
            os.replace(fresh / cache.name, cache)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        note(f"the decoded images cannot be kept in {cache} ({brief_reason(error)})")
    return split_cache(content)


def load_cache(cache: Path) -> tuple[Split, Split] | None:
    """What `decode_tiny_imagenet` kept; None, and a word about it, if the file is broken."""
    note(f"Tiny ImageNet: {cache} takes {cache.stat().st_size / 1e9:.2g} GB of memory")
    try:
        return split_cache(torch.load(cache, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever a broken file makes the reader raise
        note(f"{cache} is broken ({type(error).__name__}), the images are read again")
        return None


def split_cache(content: dict) -> tuple[Split, Split]:
    """The splits in a cache; ValueError if it is not one."""
    if not isinstance(content, dict) or set(content) != CACHE_KEYS:
        raise ValueError("not a cache")
    x, y, n_train, n_classes = (content[key] for key in ("x", "y", "n_train", "n_classes"))
    if not (
        (x.dtype, y.dtype, x.ndim, y.ndim) == (torch.uint8, torch.int64, 4, 1)
        and x.shape[1] == 3
        and 0 < n_train < len(x) == len(y)
        and 0 <= y.min() <= y.max() < n_classes
    ):
        raise ValueError("not a whole cache")
    train, test = (
        Split(x[part], y[part], n_classes, 255.0) for part in (slice(n_train), slice(n_train, None))
    )
    return train, test


def list_tiny_classes(folder: Path) -> dict[str, int]:
    """Class index of each name in wnids.txt."""
    path = folder / "wnids.txt"
    names = read_lines(path, folder)
    if len(names) < 2 or len(set(names)) < len(names):
        reason = f"{len(names)} classes, {len(set(names))} of them different"
        raise unusable(path, reason, folder)
    return {name: label for label, name in enumerate(names)}


def list_tiny_train(folder: Path, classes: dict[str, int]) -> ImageList:
    """The images in train/CLASS/images, by class, then by name."""
    paths, labels = [], []
    for name, label in classes.items():
        images = folder / "train" / name / "images"
        found = list_images(images)
        if not found:
            raise unusable(images, f"there is no image of class {name}", folder)
        paths += [str(images / image) for image in found]
        labels += [label] * len(found)
    return ImageList(paths, labels)


def list_tiny_test(folder: Path, classes: dict[str, int]) -> ImageList:
    """The images in val/images, each with the class that val_annotations.txt gives it."""
    path, images = folder / "val" / "val_annotations.txt", folder / "val" / "images"
    labels: dict[str, int] = {}
    for line in read_lines(path, folder):
        image, name = (line.split() + ["", ""])[:2]  # then four numbers, a bounding box
        if name not in classes:
            raise unusable(path, f"{line!r} names no class of wnids.txt", folder)
        if image in labels:
            raise unusable(path, f"{image} has two lines", folder)
        labels[image] = classes[name]
    found = list_images(images)
    odd = sorted(set(found) ^ set(labels))
    if odd:
        reason = "has no image in val/images" if odd[0] in labels else "has no line"
        raise unusable(path, f"{odd[0]} {reason}", folder)
    if not found:
        raise unusable(images, "there is no image", folder)
    return ImageList([str(images / image) for image in found], [labels[image] for image in found])


def list_images(folder: Path) -> list[str]:
    """Names of the image files, sorted; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(name for name in os.listdir(folder) if name.lower().endswith(IMAGE_SUFFIXES))


def read_lines(path: Path, whole: Path) -> list[str]:
    """The lines that are not empty."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise unusable(path, reason, whole) from error
    return [line.strip() for line in lines if line.strip()]


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
