"""Tiny ImageNet: unpacked and decoded once, then kept as one tensor file.

train, test, _ = read_tiny_imagenet(Source("data"))     # (100000, 3, 64, 64) and (10000, ...)
"""

from __future__ import annotations

import lzma
import os
import shutil
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch

from errors import DataError
from readers.base import (
    Parts,
    Source,
    Split,
    brief_reason,
    decode,
    decode_all,
    download_aside,
    require,
    unusable,
    work_aside,
)

TINY = "tiny-imagenet-200"  # the folder, and the archive without its .zip
TINY_URL = f"https://cs231n.stanford.edu/{TINY}.zip"
TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")
CACHE_KEYS = {"x", "y", "n_train", "n_classes"}
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)


class ImageList(NamedTuple):
    """Images of a split, and the class index of each."""

    paths: list[str]
    labels: list[int]


def read_tiny_imagenet(source: Source) -> Parts:
    """Tiny ImageNet: its training images, and its validation images as the test split.

    The images are decoded once, to RGB, and kept as one tensor file beside their folder; delete
    the file to have them read again. The labels of the published test images are secret.

    Args:
        source: its folder holds the published zip or what that unpacks to; both are used once,
            then the tensor file alone is enough.
    Returns:
        train, test: x (n, 3, 64, 64), uint8; classes in the order of wnids.txt.
    Raises:
        DataError: the files are missing and cannot be downloaded, or one of them is damaged.
    """
    root = source.folder()
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
    root = archive.parent
    lack, remedy = f"Tiny ImageNet is not in {root}", f"put {archive.name} there"
    with download_aside(root, lack, remedy, what=TINY_URL) as fresh:
        utils.download_url(TINY_URL, fresh, archive.name, TINY_MD5)
        root.mkdir(parents=True, exist_ok=True)
        os.replace(fresh / archive.name, archive)


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


def decode_tiny_imagenet(folder: Path, cache: Path) -> Parts:
    """Read the images of the folder, and keep them in the file `cache`."""
    classes = list_tiny_classes(folder)
    train, test = list_tiny_train(folder, classes), list_tiny_test(folder, classes)
    paths = train.paths + test.paths
    size = decode(paths[0], "RGB").pixels.shape[1:]
    gigabytes = len(paths) * 3 * size[0] * size[1] / 1e9
    note(
        f"Tiny ImageNet: decoding {len(paths)} images once; they take {gigabytes:.2g} GB of memory"
    )
    x, _ = decode_all(paths, "RGB", size)  # (n, 3, height, width)
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


def load_cache(cache: Path) -> Parts | None:
    """What `decode_tiny_imagenet` kept; None, and a word about it, if the file is broken."""
    note(f"Tiny ImageNet: {cache} takes {cache.stat().st_size / 1e9:.2g} GB of memory")
    try:
        return split_cache(torch.load(cache, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever a broken file makes the reader raise
        note(f"{cache} is broken ({type(error).__name__}), the images are read again")
        return None


def split_cache(content: dict) -> Parts:
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
    parts = (slice(n_train), slice(n_train, None))
    return Parts(*(Split(x[part], y[part], n_classes, 255.0) for part in parts))


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
