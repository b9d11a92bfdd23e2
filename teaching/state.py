"""A training under way: what a checkpoint keeps of it, and how it is taken up again."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from datasets import Dataset
from errors import RunError, Stopped, TrainingError
from networks.schedule import Schedule
from process import StopRequest
from runFolder import RunFolder
from teaching.checks import check_rates, check_shares, warn_of_traps
from teaching.epoch import Epoch
from teaching.evaluation import Particles, are_states
from teaching.progress import Progress
from teaching.words import epoch_line, sweeps_in_words

SHARE_OF_SAVING = 0.05  # of the time, spent on writing results while training


class Training:
    """A training under way: the networks, and all that a checkpoint must keep of them."""

    def __init__(
        self,
        nets: dict[str, torch.nn.Module],
        data: Dataset,
        schedule: Schedule,
        run: RunFolder,
        options: dict[str, Any],
    ) -> None:
        self.nets, self.data, self.schedule, self.run = nets, data, schedule, run
        self.options, self.team = options, next(iter(nets.values())).team
        check_shares(self.team, data, schedule)
        check_rates(schedule)
        for net in nets.values():
            net.use_optimizer(schedule)
        self.progress = Progress()
        self.best: dict[str, dict[str, torch.Tensor]] = {}  # weights of the best epoch
        self.particles = {method: (Particles(), Particles()) for method in nets}  # train, test
        self.fixed = {"error_unit": np.array(data.unit), "lr_tab": np.array(schedule.lr_tab)}
        for method, net in nets.items():
            self.fixed |= arrays_of(method, net.initial_records())
        self.saved_at, self.cost_of_saving = -math.inf, 0.0

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take up what `save` has written.

        Args:
            checkpoint: as `read_checkpoint` returns it.
        Raises:
            RunError: it is of other methods, of another network or of other data.
        """
        weights, particles = checkpoint["weights"], checkpoint["particles"]
        self.progress = Progress(**checkpoint["progress"])
        for row in self.progress.rows:
            row.setdefault("products", None)  # which older programs did not count
        self.best = checkpoint.get("best", {})
        if wrong := self.misplaced(weights):
            raise self.foreign(wrong)
        device = self.data.train.x.device
        for method, net in self.nets.items():
            for state in (self.best.get(method, weights[method]), weights[method]):
                try:
                    net.load_state_dict(state)
                except RuntimeError:  # says what differs in many lines
                    raise self.foreign(f"holds another network for {method}") from None
            self.restore_optimizer(method, checkpoint)
            stored = particles.get(method, (None, None))
            for layers, split in zip(stored, (self.data.train, self.data.test), strict=True):
                if not are_states(layers, net, split, self.schedule.dtype):
                    raise self.foreign(f"holds states of {method} for other data")
            self.particles[method] = tuple(
                Particles(self.team.own_part(layers and [v.to(device) for v in layers], size))
                for layers, (_, size) in zip(stored, self.passes, strict=True)
            )

    def restore_optimizer(self, method: str, checkpoint: dict[str, Any]) -> None:
        optimizer, stored = self.nets[method].optimizer, checkpoint.get("optimizers", {})
        try:
            if optimizer is not None:
                optimizer.load(stored.get(method, {}))
        except ValueError:
            raise self.foreign(f"holds no state of --optimizer {optimizer.name}") from None

    def misplaced(self, weights: dict[str, Any]) -> str:
        """Where a checkpoint stands that this training cannot, in words; nothing if it can."""
        progress, methods = self.progress, self.nets.keys()
        n_batches = self.data.train.n_batches(self.schedule.batch_size)
        done = progress.rows[-1]["epoch"] if progress.rows else 0
        named = {row["method"] for row in progress.rows} | self.best.keys() | set(progress.over)
        if weights.keys() != methods:
            return f"is of {', '.join(weights)}, not of {', '.join(methods)}"
        if foreign := sorted(named - methods):
            return f"has epochs of {', '.join(foreign)}"
        if progress.method >= len(methods) or progress.epoch not in (done, done + 1):
            return f"stands at epoch {progress.epoch}, its results at epoch {done}"
        if progress.batch > n_batches:
            return f"stands at batch {progress.batch} of {n_batches}"
        if progress.batch and not {"error", "loss"} <= progress.record.keys():
            return f"lacks the losses of the {progress.batch} batches before"
        if any(v.shape[:1] != (n_batches,) for v in progress.record.values()):
            return f"has records that are not of {n_batches} batches"
        return ""

    def foreign(self, what: str) -> RunError:
        return RunError(f"{self.run.path / 'checkpoint.pt'} is of another run: it {what}")

    @property
    def passes(self) -> list[tuple[int, int]]:
        """Samples and batch size of a pass over the training and over the test data."""
        plan = self.schedule
        sizes = (plan.batch_size, plan.test_batch_size)
        return list(zip((len(self.data.train), len(self.data.test)), sizes, strict=True))

    def save(self, now: bool = True) -> None:
        """Write all there is; unless `now`, only if that takes a small share of the time."""
        started = time.perf_counter()
        if not now:
            now = started - self.saved_at >= self.cost_of_saving / SHARE_OF_SAVING
            now = self.team.first_says(now, self.data.train.x.device)
        if not now:
            return
        particles = {
            method: tuple(
                self.team.joined(p.layers, *one) for p, one in zip(both, self.passes, strict=True)
            )
            for method, both in self.particles.items()
        }
        if self.team.rank:
            return
        self.run.write_metrics(self.progress.rows)
        self.run.write_arrays(self.fixed | measured_arrays(self.nets, self.progress))
        self.run.write_checkpoint(
            {
                "options": self.options,
                "weights": {method: net.state_dict() for method, net in self.nets.items()},
                "particles": particles,
                "optimizers": {
                    method: net.optimizer.state
                    for method, net in self.nets.items()
                    if net.optimizer is not None
                },
                "best": self.best,
                "progress": vars(self.progress),
            }
        )
        self.saved_at = time.perf_counter()
        self.cost_of_saving = self.saved_at - started

    def bar(self, quiet: bool) -> tqdm:
        """A progress bar over the batches of the whole run, which tells the time that is left."""
        n, progress = self.data.train.n_batches(self.schedule.batch_size), self.progress
        epochs_done = len(self.nets) * (progress.epoch - 1) + progress.method
        return tqdm(
            total=n * len(self.nets) * self.schedule.epochs,
            initial=n * epochs_done + progress.batch,
            unit="batch",
            smoothing=0,  # the mean over training and testing
            disable=quiet,
            leave=False,
            file=sys.stderr,
        )

    def teach(self, method: str, stop: StopRequest, bar: tqdm) -> dict[str, Any]:
        """Run an epoch of one method and enter what came out; return its row of metrics.csv."""
        net, progress = self.nets[method], self.progress
        plan = dataclasses.replace(self.schedule, epoch=progress.epoch)
        epoch = Epoch(net, method, self.data, plan, self.particles[method], bar)
        try:
            row = epoch.run(progress, stop)
        except Stopped:
            self.save()
            raise
        except TrainingError:  # the weights are spoilt, the rows are not
            if not self.team.rank:
                self.run.write_metrics(progress.rows)
            raise
        if progress.enter(row, self.schedule):
            self.best[method] = copied(net.state_dict())
        line = epoch_line(row, self.schedule.epochs, self.data.unit)
        with tqdm.external_write_mode():
            print(line + sweeps_in_words(progress.record), flush=True)
            if row["test_error"] is not None:
                warn_of_traps(progress, method, self.schedule)
        return row


def copied(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as they are now, on the CPU."""
    return {name: v.detach().to("cpu", copy=True) for name, v in state.items()}


def measured_arrays(nets: dict[str, torch.nn.Module], progress: Progress) -> dict[str, np.ndarray]:
    """What results.npz holds of a training: notes per epoch, measures per batch, the networks'."""
    arrays = {name: np.array(values) for name, values in progress.notes.items()}
    for method, epoch in progress.kept_epochs().items():
        arrays[f"{method}_kept_epoch"] = np.array(epoch)
    for method, net in nets.items():
        counted = [row["products"] for row in progress.rows if row["method"] == method]
        arrays[f"{method}_products"] = np.array(counted, dtype=float)  # NaN where there is none
        history = progress.history.get(method, {})
        arrays |= arrays_of(method, history) | arrays_of(method, net.records(history))
    return arrays


def arrays_of(method: str, tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {f"{method}_{name}": values.cpu().numpy() for name, values in tensors.items()}
