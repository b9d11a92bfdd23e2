"""Runs the program as a user does, on small data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = ROOT.parent / "shared" / "data"
SMALL = ["--dataset", "digits", "--size_tab", "10", "16", "64", "--T", "6", "--Kmax", "3"]
SMALL += ["--batch-size", "100", "--threads", "1"]


def run(*words, cwd=ROOT, check=True, **kwargs) -> subprocess.CompletedProcess:
    """`python main.py` with these words; with `check` it must succeed."""
    command = [sys.executable, str(ROOT / "main.py"), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, **kwargs)
    assert not check or done.returncode == 0, done.stderr
    return done


def only_run(results: Path) -> Path:
    """The one run folder below a results folder."""
    folders = list(results.glob("*/*/Trial-*"))
    assert len(folders) == 1, folders
    return folders[0]


def needs_mnist() -> None:
    if not (REAL_DATA / "MNIST").exists():
        pytest.skip(f"no MNIST in {REAL_DATA}")
