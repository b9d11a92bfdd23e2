"""One epoch of one network: its batches in their order, then the test."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from tqdm import tqdm

from datasets import Dataset, crop_and_flip
from errors import Stopped
from networks.cost import Products, is_counted, passes
from networks.phases import other_sign
from networks.schedule import Lesson, Schedule
from process import StopRequest
from teaching.checks import check_finite
from teaching.evaluation import Evaluation, Particles, errors_of, evaluate
from teaching.progress import Progress

CHECK_EVERY = 50  # batches between two looks at the loss: a look makes a GPU wait


def epoch_order(seed: int, epoch: int, n: int, device: torch.device) -> torch.Tensor:
    """The order of the data in an epoch, (n,); it depends on nothing but its arguments."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state >> 1))
    return torch.randperm(n, generator=generator).to(device)


class Epoch(NamedTuple):
    """One epoch of one network: its batches, then the test."""

    net: torch.nn.Module
    method: str
    data: Dataset
    schedule: Schedule
    particles: tuple[Particles, Particles]
    bar: tqdm  # of the run

    def run(self, progress: Progress, stop: StopRequest) -> dict[str, Any]:
        """Go on from where `progress` stands; return the row, with the test's `Evaluation`."""
        started = time.perf_counter() - progress.seconds
        train, n_batches = self.data.train, self.data.train.n_batches(self.schedule.batch_size)
        device = train.x.device
        record = {name: v.to(device) for name, v in progress.record.items()}
        draws = batch_draws(self.schedule.seed, self.schedule.epoch, n_batches)
        self.bar.set_description_str(
            f"epoch {self.schedule.epoch}/{self.schedule.epochs} {self.method}"
        )
        first, schedule = progress.batch, self.schedule
        batches = train.batches(schedule.batch_size, schedule.dtype, self.order, first)
        for k, batch in enumerate(batches, first):
            x, target = self.net.team.deal(*batch)
            counts = k == 0 and is_counted(schedule.epoch, n_batches) and self.net.block is None
            try:
                with Products() if counts else contextlib.nullcontext() as products:
                    lesson = self.teach(k, x, target, int(draws[k]))
            except Stopped as stopped:  # in a phase, before it has changed anything
                self.halt(progress, record, k, started, stopped.signal_number)
            if products is not None:
                progress.products[self.method] = passes(self.net, products.total, len(x))
            error, loss = errors_of(train, self.net, lesson.output, target)
            values, signal_number = self.net.team.pool(
                {"error": error, "loss": loss}, lesson.measures, stop.signal_number
            )
            for name, value in values.items():
                if name not in record:
                    record[name] = value.new_zeros(n_batches, *value.shape)
                record[name][k] = value
            self.bar.update()
            if k % CHECK_EVERY == CHECK_EVERY - 1 or k == n_batches - 1:
                check_finite(record["loss"][: k + 1], self.schedule, self.method)
            if signal_number:
                self.halt(progress, record, k + 1, started, signal_number)
        progress.record = {name: v.cpu() for name, v in record.items()}
        try:
            with self.particles[1].whole_pass():
                return self.row(progress, started)
        except Stopped as stopped:
            self.halt(progress, record, n_batches, started, stopped.signal_number)

    def halt(
        self,
        progress: Progress,
        record: dict[str, torch.Tensor],
        n_done: int,
        started: float,
        signal_number: int,
    ) -> NoReturn:
        """Note how far the epoch has come, so many batches, and end it."""
        progress.batch = n_done
        progress.record = {name: v.cpu() for name, v in record.items()} if n_done else {}
        progress.seconds = time.perf_counter() - started
        where = f"epoch {self.schedule.epoch} ({self.method}), batch {n_done}"
        n_batches = self.data.train.n_batches(self.schedule.batch_size)
        raise Stopped(signal_number, f"stopped after {where} of {n_batches}")

    @property
    def order(self) -> torch.Tensor:
        """Of the training data; with particles the same in every epoch."""
        train, schedule = self.data.train, self.schedule
        epoch = 0 if schedule.persistent else schedule.epoch
        return epoch_order(schedule.seed, epoch, len(train), train.x.device)

    def teach(self, k: int, x: torch.Tensor, target: torch.Tensor, draw: int) -> Lesson:
        """Teach batch k; `draw` decides all that is random in it."""
        n_batches = self.data.train.n_batches(self.schedule.batch_size)
        schedule = self.schedule.at(self.schedule.epoch, k, n_batches)
        particles = self.particles[0]
        torch.default_generator.manual_seed(draw)  # torch.manual_seed asks all devices, in 1 ms
        if x.is_cuda:
            torch.cuda.manual_seed(draw)
        if schedule.augment:
            x = crop_and_flip(x, self.net.team)
        if schedule.random_sign and draw % 2:
            schedule = dataclasses.replace(schedule, beta=other_sign(self.net, schedule))
        team, size = self.net.team, schedule.batch_size
        span = team.stored_span(k, size)
        start = particles.start(span) if schedule.persistent else None
        with self.net.noise.during(self.net.devices, draw, team.rank):
            lesson = self.net.rules[self.method].learn(self.net, x, target, schedule, start)
        if schedule.persistent:
            particles.keep(span, lesson.state, team.n_stored(len(self.data.train), size))
        return lesson

    def row(self, progress: Progress, started: float) -> dict[str, Any]:
        """Test the network; return the epoch's row of metrics.csv and the test's results.

        An epoch that is not tested has None for both.
        """
        data, schedule, record = self.data, self.schedule, progress.record
        error, loss = (record[k].sum().item() / len(data.train) for k in ("error", "loss"))
        due = schedule.epoch % schedule.test_every == 0 or schedule.epoch == schedule.epochs
        due |= data.validation is None and schedule.patience > 0  # where the test decides
        found = Evaluation(error, loss, 0, {}) if data.test is data.train else None
        found = found or (self.tested() if due else None)
        row = {
            "epoch": schedule.epoch,
            "method": self.method,
            "train_error": error,
            "test_error": found and found.error,
            "loss": loss,
            "seconds": round(time.perf_counter() - started, 3),
        }
        if data.validation is not None:
            held_out = evaluate(self.net, data.validation, schedule, self.method)
            row["validation_error"] = held_out.error
        if found is None and any(progress.verdict(row, schedule)):
            found = self.tested()
            row["test_error"] = found.error
        if schedule.measure_training:
            row["train_error_full"] = self.training_error()
        return row | {"products": progress.products.get(self.method), "evaluation": found}

    def tested(self) -> Evaluation:
        """What the network as it is now does on the test data."""
        particles = self.particles[1] if self.schedule.persistent else None
        return evaluate(self.net, self.data.test, self.schedule, self.method, particles)

    def training_error(self) -> float:
        """Error on the training data of the network as it is now."""
        particles, train, team, plan = None, self.data.train, self.net.team, self.schedule
        if plan.persistent:
            layers = team.joined(self.particles[0].layers, len(train), plan.batch_size)
            particles = Particles(team.own_part(layers, plan.test_batch_size), frozen=True)
        return evaluate(self.net, train, plan, self.method, particles, self.order).error


def batch_draws(seed: int, epoch: int, n_batches: int) -> np.ndarray:
    """A number per batch, (n_batches,) uint64, from which all that is random in it follows."""
    return np.random.SeedSequence([seed, epoch, 1]).generate_state(n_batches, np.uint64) >> 1
