"""What a network does on a whole split: its errors, and the free states that are kept of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from datasets import Split
from errors import Stopped
from networks.schedule import Schedule, Tensors
from parallel import Team


class Particles:
    """The free state of every sample of a split, kept from one pass to the next.

    A batch is a span of places in the order of a pass, which must not change. A process that
    teaches with others stores its own rows of every batch.
    """

    def __init__(self, layers: Tensors | None = None, frozen: bool = False):
        self.layers = layers  # per layer (n stored here, ...)
        self.frozen = frozen  # read, not written

    def start(self, span: slice) -> Tensors | None:
        """Where the batch ended last time, or None before its first."""
        return None if self.layers is None else [layer[span] for layer in self.layers]

    def keep(self, span: slice, state: Tensors, n: int) -> None:
        """Store where the batch ended, of n samples that are stored here."""
        if self.frozen:
            return
        if self.layers is None:
            self.layers = [v.new_zeros(n, *v.shape[1:]) for v in state]
        for layer, v in zip(self.layers, state, strict=True):
            layer[span] = v

    @contextlib.contextmanager
    def whole_pass(self) -> Iterator[None]:
        """Around a pass: one that is stopped leaves everything as it was before."""
        before = self.layers and [layer.clone() for layer in self.layers]
        try:
            yield
        except Stopped:
            self.layers = before
            raise


@torch.no_grad()
def are_states(
    layers: Tensors | None, net: torch.nn.Module, split: Split, dtype: torch.dtype
) -> bool:
    """Whether layers can be the free states of all samples of a split; there may be none yet."""
    if layers is None:
        return True
    one, _ = split.batch(slice(0, 1), dtype)
    shapes = [(len(split), *v.shape[1:]) for v in net.initHidden(net.drive(one))]
    return [tuple(v.shape) for v in layers] == shapes


class Evaluation(NamedTuple):
    """What `evaluate` measures on a split."""

    error: float  # % of wrong answers; in regression half the squared error, mean per sample
    loss: float  # half the squared error, or the cross-entropy, mean per sample
    silent: int  # output units that are not above 0 for any sample
    # Of equilibrium networks: residual, the largest change of any unit in one more step (0 at
    # equilibrium), and oscillating, % of samples whose free phase ends in an oscillation.
    measures: dict[str, Any]


@torch.no_grad()
def evaluate(
    net: torch.nn.Module,
    split: Split,
    schedule: Schedule,
    method: str = "EP",
    particles: Particles | None = None,
    order: torch.Tensor | None = None,
) -> Evaluation:
    """Test a network on a split.

    Args:
        method: what the network was taught by, a key of its `rules`.
        particles: where the free phases start, and are kept for the next time.
        order: of the samples, as for `Split.batches`.
    Raises:
        Stopped: of a network that is being trained, by a signal.
    """
    sums, measured, highest, team = [], [], None, net.team
    size = schedule.test_batch_size
    for k, batch in enumerate(split.batches(size, schedule.dtype, order)):
        net.stopping.grant()
        data, target = team.deal(*batch)
        span = team.stored_span(k, size)
        start = particles.start(span) if particles else None
        with net.noise.during(net.devices, schedule.seed, schedule.epoch, k, team.rank):
            lesson = net.rules[method].test(net, data, target, schedule, start)
        if particles:
            particles.keep(span, lesson.state, team.n_stored(len(split), size))
        top = lesson.output.flatten(0, -2).amax(0)
        highest = top if highest is None else torch.maximum(highest, top)
        sums.append(torch.stack(errors_of(split, net, lesson.output, target)))
        measured.append((len(data) / len(split), lesson.measures))
    error, loss = (team.total(torch.stack(sums).sum(0)) / len(split)).tolist()
    silent = int((team.highest(highest) <= 0).sum())
    return Evaluation(error, loss, silent, combined(measured, team))


def errors_of(
    split: Split, net: torch.nn.Module, output: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Error and loss, summed over the batch; mean over networks that go on."""
    wrong = split.mistakes(output, target).double()  # ([networks,] batch)
    losses = net.loss.of(output, target).double()
    return wrong.sum(-1).nanmean(), losses.sum(-1).nanmean()


def combined(measured: list[tuple[float, dict[str, torch.Tensor]]], team: Team) -> dict[str, Any]:
    """The measures of all batches as one: the largest residual, else the mean per sample."""
    whole = {}
    for name in measured[0][1]:
        values = torch.stack([measures[name].double() for _, measures in measured])
        if name == "residual":
            whole[name] = team.highest(values.amax(0)).tolist()
        else:
            shares = values.new_tensor([share for share, _ in measured])
            whole[name] = team.total(torch.tensordot(shares, values, 1)).tolist()
    return whole
