"""How long the published experiments take here, for the times that --list-presets prints.

    python benchmarks/presets.py wine_5layer_swni deep-xor                    # whole experiments
    python benchmarks/presets.py P-1h --epochs 1 --data-dir data              # their first epochs
    python benchmarks/presets.py P-conv-published --part 60 --data-dir data   # 1/60 of the first

Measured is the processor time of the training on one thread, without start and figures, so that
other programs on the machine hardly matter. --part N trains and tests on 1/N of the samples and
takes the time N times; the listing says so. A line is added to systems/times.csv for each preset,
in place of the one that is there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from commandLine import parse
from main import main
from netFunctions import train
from records.writing import write_rows
from systems import PRESETS
from systems.listing import SAMPLES, TIMES, times

COLUMNS = ["preset", "epochs", "part", "seconds", "machine"]


def measure(name: str, words: list[str]) -> tuple[int, float]:
    """Train a preset in a folder that is thrown away; return its epochs and seconds."""
    spent: list[tuple[int, float]] = []

    def timed(nets, data, schedule, *rest):
        started = time.process_time()
        rows = train(nets, data, schedule, *rest)
        spent.append((schedule.epochs, time.process_time() - started))
        return rows

    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
        words = ["--preset", name, *words, "--results-dir", place, "--threads", "1", "--quiet"]
        with mock.patch("runs.train.train", timed), mock.patch("runs.train.draw_figures"):
            if main(words):
                raise SystemExit(f"{name} cannot be run")
    return spent[0]


def part_of_epoch(name: str, part: int) -> list[str]:
    """The options with which a preset learns from 1/part of its data, once."""
    if part == 1:
        return []
    known = parse(["--preset", name]).dataset
    if known not in SAMPLES:
        raise SystemExit(f"--part is for {', '.join(SAMPLES)}: {name} is short, time all of it")
    train, test = (str(max(1, n // part)) for n in SAMPLES[known])
    return ["--epochs", "1", "--train-samples", train, "--test-samples", test]


def processor() -> str:
    """The name of the processor, where the system tells."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        )
    return platform.processor() or platform.machine()


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="+", choices=list(PRESETS), metavar="PRESET")
    parser.add_argument("--part", type=int, default=1, metavar="N", help="1/N of one epoch")
    known, words = parser.parse_known_args()
    for name in known.presets:
        epochs, seconds = measure(name, [*part_of_epoch(name, known.part), *words])
        version = torch.__version__.partition("+")[0]
        whole = f"{known.part * seconds:.3g}"
        row = [name, epochs, known.part, whole, f"{processor()}, torch {version}"]
        print(*row, flush=True)
        rows = {k: dict(zip(COLUMNS, [k, *v], strict=True)) for k, v in times().items()}
        rows[name] = dict(zip(COLUMNS, row, strict=True))
        order = [rows[preset] for preset in PRESETS if preset in rows]
        write_rows(TIMES, COLUMNS, order)
        times.cache_clear()


if __name__ == "__main__":
    run()
