"""Training from the first epoch to the last: each network in turn, everything recorded."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from datasets import Dataset
from networks.schedule import Schedule
from process import NEVER, StopRequest
from records.names import RECORD
from records.record import createHyperparameterfile
from runFolder import RunFolder
from teaching.state import Training


def train(
    nets: dict[str, torch.nn.Module],
    data: Dataset,
    schedule: Schedule,
    run: RunFolder,
    options: dict[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
    quiet: bool = True,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Train each network by its method, epoch by epoch in turn, and record every epoch.

    Args:
        nets: method (a key of its `rules`) -> network.
        options: kept in the checkpoint, so that it can be read without the folder.
        checkpoint: what `read_checkpoint` returned of the same run; its weights are loaded.
        run: of several processes that teach together only the first one's is written to.
        watch: called with each new row of metrics.csv.
    Returns:
        The rows of metrics.csv.
    Raises:
        TrainingError: a loss is not finite, or a batch has fewer samples than there are processes.
        LostProcess: one of those has ended.
        Stopped: by a signal; the checkpoint goes on from the next batch.
        RunError: a file cannot be written.
    """
    for method, net in nets.items():
        net.method, net.plan = method, dataclasses.replace(schedule, epoch=schedule.epochs + 1)
    if not (run.path / RECORD).exists() and not next(iter(nets.values())).team.rank:
        options = options_of(nets, data, schedule) | (options or {})
        title = f"{' and '.join(nets)} training from Python, {data.name}"
        createHyperparameterfile(run.path, title, options, sys.argv)
        run.copy_plotting()
    state = Training(nets, data, schedule, run, options or {})
    if checkpoint:
        state.restore(checkpoint)
    state.save()
    progress = state.progress
    with StopRequest() as stop, heard_by(nets.values(), stop), state.bar(quiet) as bar:
        while progress.epoch <= schedule.epochs and not all(map(progress.is_over, nets)):
            for index, method in enumerate(nets):
                if index < progress.method:
                    continue
                if progress.is_over(method):
                    bar.total -= data.train.n_batches(schedule.batch_size)
                else:
                    row = state.teach(method, stop, bar)
                    if watch is not None:
                        watch(row)
                progress.move_on(index, len(nets))
                state.save(now=False)
    state.save()
    return progress.rows


@contextlib.contextmanager
def heard_by(nets: Iterable[torch.nn.Module], stop: StopRequest) -> Iterator[None]:
    """Let networks look within a phase whether they are to stop.

    Several processes that teach together only stop between two batches, all after the same one.
    """
    nets = [net for net in nets if net.team.alone]
    for net in nets:
        net.stopping = stop
    try:
        yield
    finally:
        for net in nets:
            net.stopping = NEVER


def options_of(
    nets: dict[str, torch.nn.Module], data: Dataset, schedule: Schedule
) -> dict[str, Any]:
    """The options of the command line that a training stands for, so that readers know it."""
    first = next(iter(nets.values()))
    plan = dataclasses.asdict(schedule)
    same = ("T", "Kmax", "beta", "lr_tab", "batch_size", "test_batch_size", "epochs", "tol", "seed")
    same += ("persistent", "solver", "test_every", "optimizer", "momentum", "weight_decay")
    same += ("warmup",)
    options = {name: plan[name] for name in same} | {
        "action": "train",
        "dataset": data.name,
        "training_method": next(iter(nets)),
        "benchmark": len(nets) > 1,
        "beta_sign": "both"
        if schedule.both_signs
        else "random"
        if schedule.random_sign
        else "fixed",
        "nudge": schedule.nudge,
        "state_noise": first.noise.state,
        "weight_noise": first.noise.weight,
        "dtype": str(schedule.dtype).removeprefix("torch."),
        "train_error": "full" if schedule.measure_training else "online",
        "schedule": "cosine" if schedule.cosine else "step" if schedule.halve_every else "constant",
        "threads": torch.get_num_threads(),
    }
    for name in (
        "patience",
        "minutes",
        "halve_every",
        "omega",
        "max_sweeps",
        "lr_tab",
    ):  # not asked for
        options[name] = plan[name] or None
    for name in ("batch_size", "test_batch_size"):  # larger than any data: all of them
        options[name] = plan[name] if plan[name] < sys.maxsize else None
    if schedule.solver != "step":
        options["T"] = None
    return options | first.options()
