"""What the rules of all systems share: how long and how fast (`Schedule`), what a batch showed

(`Lesson`), and the two rules of every equilibrium network, EP and the BPTT it is judged against.

    lesson = EP.learn(net, data, target, Schedule(T=30, Kmax=10, beta=0.1, lr_tab=[0.04, 0.08]))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from parallel import ALONE, Team

OSCILLATES = 0.05  # change per step above which a state is not at rest
SETTLE_EVERY = 10  # steps between two looks at the residual with a tolerance

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
    persistent: start the free phase of a batch where its last one ended; batches never change.
    measure_training: test on the training data after each epoch, too.
    epoch: the one under way, counted from 1.
    halve_every: epochs after which the rates are halved (0: never).
    patience: a method ends after so many epochs without a gain of `min_gain` in the error on the
        validation data, or without any on the test data (0: it goes on).
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
    persistent: bool = False
    measure_training: bool = False
    epoch: int = 1
    halve_every: int = 0
    patience: int = 0
    min_gain: float = 0.1

    def at(self, epoch: int) -> Schedule:
        """The schedule of an epoch, its rates included."""
        halvings = (epoch - 1) // self.halve_every if self.halve_every else 0
        rates = [rate * 0.5**halvings for rate in self.lr_tab]
        return dataclasses.replace(self, epoch=epoch, lr_tab=rates)


class Lesson(NamedTuple):
    """What a batch showed: of teaching it, or of testing on it."""

    output: torch.Tensor  # (batch, n_out), before any update; (networks, batch, n_out) for many
    state: Tensors | None = None  # at the end of the free phase
    measures: dict[str, torch.Tensor] = {}  # more numbers to keep, by name, on the device


def largest_change(before: Tensors, after: Tensors) -> torch.Tensor:
    """Largest change of any unit between two states, per sample (batch,)."""
    changes = [(a - b).abs().flatten(1).amax(1) for a, b in zip(after, before, strict=True)]
    return torch.stack(changes).amax(0)


def settle_rule(tol: float) -> Callable | None:
    """An observer that ends a phase at equilibrium, or None without a tolerance."""
    if not tol:
        return None

    def settled(t: int, before: Tensors, after: Tensors) -> bool:
        if t % SETTLE_EVERY != SETTLE_EVERY - 1:
            return False
        return largest_change(before, after).max().item() <= tol

    return settled


@torch.no_grad()
def learn_by_ep(net, data, target, schedule: Schedule, start: Tensors | None = None) -> Lesson:
    """Teach one batch by equilibrium propagation; `start` is the state to start from, or zero."""
    drive = net.drive(data)
    stop = settle_rule(schedule.tol)
    s_free = net(drive, start or net.initHidden(drive), schedule.T, observe=stop)
    s_nudged = net(drive, s_free, schedule.Kmax, target, schedule.beta, observe=stop)
    measures = net.learn(drive, s_free, s_nudged, schedule.beta, schedule.lr_tab)
    return Lesson(s_free[0], s_free, measures)


def learn_by_bptt(net, data, target, schedule: Schedule, start: Tensors | None = None) -> Lesson:
    """Teach one batch by BPTT through the last Kmax steps."""
    s, gradients = bptt_gradients(net, data, target, schedule.T, schedule.Kmax, start)
    net.updateWeights(gradients, [-lr for lr in schedule.lr_tab])
    return Lesson(s[0], s)


def bptt_gradients(
    net: nn.Module,
    data: torch.Tensor,
    target: torch.Tensor,
    T: int,
    K: int,
    start: Tensors | None = None,
) -> tuple[Tensors, Pairs]:
    """Gradients of the loss of a free phase through its last K steps; the others keep no graph.

    Args:
        data: (batch, ...). target: (batch, n_out). start: the first state, zero unless given.
    Returns:
        The last state, and dL/dtheta as (weight, bias) pairs shaped as `net.synapses`; L is what
        the nudge descends: half the squared error summed over the outputs (times `nudge_gain`),
        mean over the batch.
    """
    with torch.no_grad():
        drive = net.drive(data)
        s = net(drive, start or net.initHidden(drive), T - K)
    with torch.enable_grad():
        drive = net.drive(data)
        for _ in range(K):
            s = net.stepper(drive, s)
        loss = net.nudge_gain * (s[0] - target).square().sum() / (2 * len(target))
    parameters = [p for pair in net.synapses for p in pair]
    flat = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return [v.detach() for v in s], list(zip(flat[::2], flat[1::2], strict=True))


@torch.no_grad()
def rest(net, data, target, schedule: Schedule, start: Tensors | None = None) -> Lesson:
    """Test one batch: run a free phase, and two steps more that tell whether it has come to rest.

    A state that moves from one step to the next, but not from one to the next but one, oscillates
    with period 2.
    """
    drive = net.drive(data)
    stop = settle_rule(schedule.tol)
    s = net(drive, start or net.initHidden(drive), schedule.T, observe=stop)
    once = net(drive, s, 1)
    moved, back = largest_change(s, once), largest_change(s, net(drive, once, 1))
    oscillating = (moved > OSCILLATES) & (back < moved / 4)
    return Lesson(
        s[0], s, {"residual": moved.amax(), "oscillating": 100 * oscillating.double().mean()}
    )


class Rule(NamedTuple):
    """How a batch is taught and tested: both take (net, data, target, schedule, start)."""

    learn: Callable[..., Lesson]
    test: Callable[..., Lesson] = rest


EP, BPTT = Rule(learn_by_ep), Rule(learn_by_bptt)


class Network(nn.Module):
    """What training needs of a network, whatever it computes with."""

    rules: dict[str, Rule] = {}  # by the name of the training method
    n_rates = 1  # how many learning rates it takes
    team: Team = ALONE  # the processes that teach it

    def first(self) -> Network:
        """Itself; of a batch of networks the first one, by itself."""
        return self

    def initial_records(self) -> dict[str, torch.Tensor]:
        """What a result folder keeps of the untaught network, by name."""
        return {}

    def records(self, history: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What a result folder keeps of the network as it is now, beside its weights, by name.

        Args:
            history: what was measured while teaching, (epochs, batches, ...) by name.
        """
        return {}
