"""What the tests of the readers share."""

import struct

import numpy as np
import pytest

from errors import DataError
from readers.cifar import CIFAR


def error_of(read, *arguments, **options):
    """The message of the DataError that reading must end with, checked to be one sentence."""
    with pytest.raises(DataError) as caught:
        read(*arguments, **options)
    message = str(caught.value)
    assert message and "\n" not in message and ". " not in message and not message.endswith(".")
    return message


def contents(folder):
    return sorted(path for path in folder.rglob("*"))


def idx_bytes(values):
    """An idx file of unsigned bytes: magic number, the sizes (big endian), the values."""
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def random_images(n, n_classes, seed):
    random = np.random.RandomState(seed)
    return random.randint(0, 256, (n, 3, 32, 32)).astype(np.uint8), random.randint(0, n_classes, n)


def write_binary(root, kind, n=3):
    """The binary version of `n` images a file; returns images and labels by split."""
    layout, splits = CIFAR[kind], {}
    (root / layout.folder).mkdir(parents=True)
    for split, names in (("train", layout.train), ("test", layout.test)):
        parts = [random_images(n, layout.n_classes, seed) for seed in range(len(names))]
        for name, (x, y) in zip(names, parts, strict=True):
            labels = np.stack([y // 5, y], 1)[:, -layout.label_bytes :].astype(np.uint8)
            records = np.concatenate([labels, x.reshape(n, -1)], 1)
            (root / layout.folder / name).write_bytes(records.tobytes())
        splits[split] = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return splits
