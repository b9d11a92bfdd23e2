"""Runs the program as a user does, on small data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--dataset", "digits", "--size_tab", "10", "16", "64", "--T", "6", "--Kmax", "3"]
SMALL += ["--batch-size", "100", "--threads", "1"]


def run(*words, cwd=ROOT, check=True, **kwargs) -> subprocess.CompletedProcess:
    """`python main.py` with these words; with `check` it must succeed."""
    command = [sys.executable, str(ROOT / "main.py"), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, **kwargs)
    assert not check or done.returncode == 0, done.stderr
    return done


def call(*words) -> None:
    """The same in this process, without the seconds of a start; it must succeed."""
    from main import main

    assert main([str(word) for word in words]) == 0


def only_run(results: Path) -> Path:
    """The one run folder below a results folder."""
    folders = list(results.glob("*/*/Trial-*"))
    assert len(folders) == 1, folders
    return folders[0]


def small_mnist(place: Path, fashion: bool = False) -> Path:
    """A data folder with random images in the layout, sizes and types of MNIST, but few of them."""
    from readerChecks import idx_bytes

    raw = place / "data" / ("FashionMNIST" if fashion else "MNIST") / "raw"
    raw.mkdir(parents=True)
    random = np.random.RandomState(0)
    for prefix, n in (("train", 60), ("t10k", 30)):
        images = random.randint(0, 256, (n, 28, 28)) * (random.rand(n, 28, 28) < 0.2)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(random.randint(0, 10, n)))
    return place / "data"
