"""Runs the program as a user does, on small data."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

import numpy as np

import plotFunctions

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--dataset", "digits", "--size_tab", "10", "16", "64", "--T", "6", "--Kmax", "3"]
SMALL += ["--batch-size", "100", "--threads", "1"]


def run(*words, cwd=ROOT, check=True, **kwargs) -> subprocess.CompletedProcess:
    """`python main.py` with these words; with `check` it must succeed."""
    command = [sys.executable, str(ROOT / "main.py"), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, **kwargs)
    assert not check or done.returncode == 0, done.stderr
    return done


def prepare_processes() -> None:
    """Have a server that has imported what processes need, for ours and those of many runs."""
    forkserver.set_forkserver_preload(["runs.many", "pytest", "sklearn.datasets"])
    forkserver.ensure_running()


def start(target: Callable, *args) -> BaseProcess:
    """Call a function in a process of its own, which is there in milliseconds."""
    prepare_processes()
    process = multiprocessing.get_context("forkserver").Process(target=target, args=args)
    process.start()
    return process


def program(words: list, output: str = os.devnull) -> None:
    """The program in the process that `start` has made; what it says goes into a file."""
    from main import main

    speak_into(output)
    sys.modules.pop("sklearn.datasets", None)  # which it imports if it needs it
    sys.exit(main([str(word) for word in words]))


def speak_into(output: str) -> None:
    """Let this process append all that it says to a file."""
    for stream in (1, 2):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)


def call(*words) -> str:
    """The same in this process, without the seconds of a start; it must succeed.

    Returns what it printed, which is printed as well.
    """
    from main import main

    with contextlib.redirect_stdout(io.StringIO()) as text:
        status = main([str(word) for word in words])
    print(text.getvalue(), end="")
    assert status == 0
    return text.getvalue()


def options(line: str) -> dict:
    """What a command line means: every option with its value."""
    import commandLine

    return vars(commandLine.parse(shlex.split(line)))


def fails(line: str, capfd) -> str:
    """Run the program in this process; return its one line of error, which warnings may precede."""
    from main import main

    capfd.readouterr()
    try:
        status = main(shlex.split(line))
    except SystemExit as end:
        status = end.code
    whole = capfd.readouterr().err
    message = re.sub(r"^(warning: .*\n)+", "", whole)
    assert status == 2, (status, whole)
    assert message.startswith("main.py: error: ") and message.count("\n") == 1, whole
    return message


def refuses(line: str, expected: str, capfd) -> None:
    """The command ends with one line that says what is expected, and writes nothing here."""
    before = set(Path.cwd().iterdir())
    message = fails(line, capfd)
    assert expected in message, message
    assert set(Path.cwd().iterdir()) == before


_plot_folder = plotFunctions.plot_folder


def drawing(really: bool = True) -> contextlib.AbstractContextManager:
    """Within it the program draws its figures, or does not, which takes seconds a run."""
    return mock.patch.object(
        plotFunctions, "plot_folder", _plot_folder if really else lambda folder: []
    )


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
