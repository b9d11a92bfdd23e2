"""SVHN, house numbers cropped to single digits, in the two .mat files of torchvision's layout.

train, test, _ = read_svhn(Source("data"))  # (73257, 3, 32, 32) and (26032, ...)
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from readers.base import Parts, Source, Split, download_aside, require, unusable

FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
PIXELS = (32, 32, 3)  # of an image, as stored: height, width, channels
N_CLASSES = 10


def read_svhn(source: Source) -> Parts:
    """Both parts, downloaded if they are nowhere to be found; the label 10 stands for 0.

    Raises:
        DataError: a file is missing and cannot be downloaded, or is damaged.
    """
    root = source.folder()
    missing = {part: name for part, name in FILES.items() if not (root / name).is_file()}
    if missing:
        download_svhn(root, missing)
    return Parts(*(read_part(root / name) for name in FILES.values()))


def download_svhn(root: Path, missing: dict[str, str]) -> None:
    """Fetch parts with torchvision and its checksums; files that are there are left alone."""
    published = require("torchvision.datasets", "torchvision").SVHN
    remedy = f"put {' and '.join(missing.values())} there"
    with download_aside(root, f"SVHN is not complete in {root}", remedy) as fresh:
        for part, name in missing.items():
            published(fresh, split=part, download=True)
            root.mkdir(parents=True, exist_ok=True)
            os.replace(fresh / name, root / name)


def read_part(path: Path) -> Split:
    """One file: X (height, width, channels, n), uint8, and y (n, 1), 1 to 10."""
    scipy = require("scipy.io", "scipy")
    try:
        content = scipy.loadmat(path)
        images, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
    except Exception as error:  # the reader raises a dozen kinds for what is not such a file
        raise unusable(path, "damaged or not such a file at all") from error
    if images.shape[:3] != PIXELS or images.dtype != np.uint8 or images.ndim != 4:
        raise unusable(path, f"its images are {images.shape} of {images.dtype}")
    if images.shape[3] != len(labels) or not len(labels):
        raise unusable(path, f"{len(labels)} labels for {images.shape[3]} images")
    if labels.min() < 0 or labels.max() > N_CLASSES:
        raise unusable(path, f"labels from {labels.min()} to {labels.max()}, they are 1 to 10")
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1)))
    return Split(x, torch.from_numpy(labels % N_CLASSES), N_CLASSES, 255.0)
