"""How long, how strongly and how fast a network is driven and taught, and what a batch showed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

Tensors = list[torch.Tensor]
Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]  # (weight, bias) per synapse group


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long, how strongly and how fast a network is driven and taught.

    T, Kmax: steps of the free and of the nudged phase; BPTT goes back Kmax steps.
    beta: strength of the nudge. lr_tab: a learning rate per synapse group.
    tol: end a phase when no unit moves more than this in a step (0: never).
    seed: of the order of the data and of all that is drawn.
    random_sign: draw the sign of beta anew for every batch.
    both_signs: nudge by beta and by -beta, and learn from the contrast of the two.
    nudge: how EP learns what a nudge does: "finite" by a phase under one, "linear" by the adjoint
        of a step at rest, which is the limit of no nudge at all, "continual" by a phase in which
        the weights follow every step.
    augment: move and mirror the images to learn from at random.
    persistent: start the free phase of a batch where its last one ended; batches never change.
    measure_training: test on the training data after each epoch, too.
    test_every: epochs from one test to the next; the last epoch is tested, too.
    epoch: the one under way, counted from 1.
    halve_every: epochs after which the rates are halved (0: never).
    cosine: the rates fall to 0 over all epochs, along half a period of a cosine, batch by batch.
    warmup: epochs, or parts of one, over which the rates rise evenly from 0, batch by batch.
    factor: what the rates are multiplied by just now, which `at` sets.
    optimizer, momentum, weight_decay: as of networks/optimisers.py.
    minutes: a method ends after the epoch in which so many minutes of it are over (0: it goes on).
    patience: a method ends after so many epochs without a gain of `min_gain` in the error on the
        validation data, or without any on the test data (0: it goes on).
    solver: how a phase is run, a key of `SOLVERS`. What "relax" reads is the network's own
        (`Relaxing`) where it is 0 or empty: `tol`, `omega`, `max_sweeps` of the free phase, and
        `nudged`, the solver of the nudged phase, of Kmax steps or of `nudged_sweeps` sweeps.
    """

    T: int
    Kmax: int
    beta: float
    lr_tab: list[float]
    batch_size: int = 20
    test_batch_size: int = 1000
    epochs: int = 1
    tol: float = 0.0
    seed: int = 0
    dtype: torch.dtype = torch.float32
    random_sign: bool = False
    both_signs: bool = False
    nudge: str = "finite"
    persistent: bool = False
    measure_training: bool = False
    epoch: int = 1
    test_every: int = 1
    halve_every: int = 0
    cosine: bool = False
    warmup: float = 0.0
    factor: float = 1.0
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    patience: int = 0
    minutes: float = 0.0
    augment: bool = False
    min_gain: float = 0.1
    solver: str = "step"
    omega: float = 0.0
    max_sweeps: int = 0
    nudged: str = ""
    nudged_sweeps: int = 0

    def at(self, epoch: int, batch: int = 0, n_batches: int = 1) -> Schedule:
        """The schedule of an epoch, of its rates those of a batch, counted from 0."""
        done = epoch - 1 + batch / n_batches  # epochs
        factor = 0.5 ** ((epoch - 1) // self.halve_every) if self.halve_every else 1.0
        if self.cosine:
            factor *= (1 + math.cos(math.pi * done / self.epochs)) / 2
        if self.warmup:
            factor *= min(1.0, (done + 1 / n_batches) / self.warmup)
        rates = [rate * factor for rate in self.lr_tab]
        return dataclasses.replace(self, epoch=epoch, lr_tab=rates, factor=factor)


class Lesson(NamedTuple):
    """What a batch showed: of teaching it, or of testing on it."""

    output: torch.Tensor  # (batch, n_out), before any update; (networks, batch, n_out) for many
    state: Tensors | None = None  # at the end of the free phase
    measures: dict[str, torch.Tensor] = {}  # more numbers to keep, by name, on the device
