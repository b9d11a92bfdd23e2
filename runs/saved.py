"""A result folder from Python: its networks, options, numbers and arrays.

run = load_run("results/ep_cont_1hidden_digits/cpu-2026-11-22/Trial-1")
run.networks["EP"].predict(x)
load_run("weights/P-1h.safetensors", "data").networks  # of a file that --export has written
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from commandLine import parse
from datasets import Dataset
from drawing.reading import read_table
from errors import RunError
from records.exported import SUFFIX, read_network_options
from records.names import CHECKPOINT, METRICS, RECORD
from records.record import read_options
from runFolder import RunFolder
from runs.evaluate import loaded_networks
from runs.setup import load_data, schedule_of


class SavedRun(NamedTuple):
    """What a result folder holds."""

    folder: Path  # or the file of weights
    options: dict[str, Any]  # by name, as recorded
    networks: dict[str, torch.nn.Module]  # by method, with the kept weights; empty: none is stored
    metrics: list[dict[str, Any]]  # rows of metrics.csv as numbers; None where a cell is empty
    arrays: dict[str, np.ndarray]  # of results.npz
    data: Dataset | None  # what they were taught on; None where no network is stored


def load_run(folder: str | Path, data_dir: str | Path = "data") -> SavedRun:
    """Read a result folder, or a file of weights; its networks answer as they were taught.

    Args:
        data_dir: where the data of a file of weights are, which does not know.
    Raises:
        RunError: it is neither, or the data set or a network cannot be made anew.
    """
    folder = Path(folder)
    if folder.suffix == SUFFIX:
        options = read_network_options(folder)
        words = ["--action", "evaluate", "--load", str(folder), "--data-dir", str(data_dir)]
        networks, data = stored_networks(folder, words)
        return SavedRun(folder, options, networks, [], {}, data)
    options = read_options(folder / RECORD)
    rows = [
        {name: cell if name == "method" else as_number(cell) for name, cell in row.items()}
        for row in read_table(folder / METRICS)
    ]
    arrays, networks, data = RunFolder(folder).read_arrays(), {}, None
    if (folder / CHECKPOINT).exists():
        networks, data = stored_networks(folder / CHECKPOINT, ["--resume", str(folder)])
    return SavedRun(folder, options, networks, rows, arrays, data)


def as_number(cell: str) -> float | int | None:
    """A cell of a table: whole numbers stay whole."""
    if not cell:
        return None
    return int(cell) if cell.isdigit() else float(cell)


def stored_networks(file: Path, words: list[str]) -> tuple[dict[str, torch.nn.Module], Dataset]:
    """By method the network that a file holds, of the best epoch where that is kept.

    Args:
        words: the command line that stands for its options.
    """
    try:
        args = parse(words)
    except SystemExit:  # it has printed why
        raise RunError(f"{file} is not one that this program can run") from None
    args, data = load_data(args.changed(load=file))
    found = loaded_networks(args, data)
    networks = {}
    for method in dict.fromkeys(name.split(",")[0] for name in found):
        net = found.get(f"{method}, best epoch", found.get(method))
        net.method = method
        net.plan = dataclasses.replace(schedule_of(args, net), epoch=args.epochs + 1)
        networks[method] = net
    return networks, data
