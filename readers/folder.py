"""Images in a folder per class, as people keep their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from errors import DataError
from readers.base import Split, choose_test, data_folder, decode, decode_all, require


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
