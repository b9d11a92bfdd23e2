"""Images in a folder per class, as people keep their own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from errors import DataError
from readers.base import Parts, Source, Split, choose_test, decode, decode_all

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
NOTED_CLASSES, NOTED_FILES = 10, 3  # how many the note names


class Found(NamedTuple):
    """What a folder holds."""

    classes: list[str]  # names, sorted
    samples: list[tuple[str, int]]  # path and class index of every image
    left_out: list[str]  # paths of what is neither image nor class
    train: Sequence[int] = ()  # which of the samples are for what
    test: Sequence[int] = ()


def read_folder(source: Source) -> Parts:
    """Images in a folder per class, or in train/ and test/ with a folder per class each.

    Without train/ and test/, a fixed fifth of every class is for testing. An animation is its
    first frame.

    Raises:
        DataError: the folder does not hold such images, or one of them cannot be read.
    """
    side, mode = source.image_size, "L" if source.grey else "RGB"
    if side is not None and side < 1:
        raise DataError(f"images cannot be made {side} pixels wide, 1 is the least")
    root = source.folder()
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: name one that holds a folder per class")
    divided = has_folders(root / "train") or has_folders(root / "test")
    found = find_divided(root) if divided else find_whole(root)
    size = (side, side) if side else decode(found.samples[0][0], mode).pixels.shape[1:]
    ordered = [found.samples[i] for i in (*found.train, *found.test)]
    x, n_more = decode_all([path for path, _ in ordered], mode, size)  # (n, channels, *size)
    y = torch.tensor([label for _, label in ordered])  # (n,)
    parts = (slice(len(found.train)), slice(len(found.train), None))
    splits = (Split(x[part], y[part], len(found.classes), 255.0) for part in parts)
    return Parts(*splits, note_on(root, found, size, mode, n_more))


def has_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() for entry in folder.iterdir())


def find_divided(root: Path) -> Found:
    """What train/ and test/ hold."""
    for name in ("train", "test"):
        if not (root / name).is_dir():
            raise DataError(f"{root} has no {name}/ folder: give it both train/ and test/")
    train, test = find_classes(root / "train"), find_classes(root / "test")
    if train.classes != test.classes:
        odd = ", ".join(sorted(set(train.classes) ^ set(test.classes)))
        raise DataError(f"train/ and test/ of {root} need the same classes but differ in {odd}")
    samples = train.samples + test.samples
    beside = sorted(str(path) for path in root.iterdir() if path.name not in ("train", "test"))
    return Found(
        train.classes,
        samples,
        train.left_out + test.left_out + beside,
        range(len(train.samples)),
        range(len(train.samples), len(samples)),
    )


def find_whole(root: Path) -> Found:
    """As `find_divided`, with the test images chosen here."""
    found = find_classes(root)
    labels = np.array([label for _, label in found.samples])
    single = [found.classes[label] for label, n in enumerate(np.bincount(labels)) if n < 2]
    if single:
        raise DataError(
            f"in {root} there is only one image for class {', '.join(single)},"
            " it takes one for training and one for testing"
        )
    train, test = choose_test(labels, share=0.2)
    return found._replace(train=train, test=test)


def find_classes(folder: Path) -> Found:
    """The class folders and their images, in the order of torchvision's ImageFolder."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    classes = [entry.name for entry in entries if entry.is_dir()]
    if not classes:
        raise DataError(f"{folder} has no class folders: put the images of each class in one")
    samples, left_out = [], [str(entry) for entry in entries if not entry.is_dir()]
    for label, name in enumerate(classes):
        for path in files_below(folder / name):
            if path.lower().endswith(SUFFIXES):
                samples.append((path, label))
            else:
                left_out.append(path)
    filled = {label for _, label in samples}
    empty = [name for label, name in enumerate(classes) if label not in filled]
    if empty:
        raise DataError(
            f"there is no image for class {', '.join(empty)} in {folder}"
            f" (what counts is {', '.join(SUFFIXES)})"
        )
    if len(classes) < 2:
        raise DataError(f"{folder} has one class only ({classes[0]}), it takes two to learn")
    return Found(classes, samples, left_out)


def files_below(folder: Path) -> Iterator[str]:
    """Paths of the files in a folder and in its folders, sorted; links are followed."""

    def give_up(error: OSError) -> None:  # os.walk leaves out what it may not read
        raise error

    for where, _, names in sorted(os.walk(folder, onerror=give_up, followlinks=True)):
        yield from (os.path.join(where, name) for name in sorted(names))


def note_on(root: Path, found: Found, size: tuple[int, int], mode: str, n_more: int) -> str:
    """A line for people: classes, split, sizes, and what was left out."""
    counts = np.bincount([label for _, label in found.samples])
    classes = [f"{name} {n}" for name, n in zip(found.classes, counts, strict=True)]
    text = (
        f"{root}: {len(classes)} classes ({first_of(classes, NOTED_CLASSES)}),"
        f" {len(found.train)} images for training and {len(found.test)} for testing,"
        f" {size[1]}x{size[0]} pixels {'in grey' if mode == 'L' else 'in colour'}"
    )
    if n_more:
        text += f"; only the first image of animations and files of several pages: {n_more}"
    if found.left_out:
        names = [os.path.relpath(path, root) for path in found.left_out]
        text += f"; left out: {first_of(names, NOTED_FILES)}"
    return text


def first_of(names: list[str], n: int) -> str:
    """The first n of them in words, on one line whatever they are called."""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:n]) + more
