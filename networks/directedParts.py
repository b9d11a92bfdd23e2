"""What directed networks are made of: plasticity, connections, random numbers, traces, pruning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from networks.schedule import Tensors

WEIGHTS, STATES, PRUNING = range(3)  # what random numbers are for: each purpose has its own


@dataclass(frozen=True)
class Plasticity:
    """What turns the states of a lesson into new weights; names and defaults as published.

    W <- mask (W + dt_W dW - reg_W sign(W)), then sparsification. As published the penalty is not
    multiplied by dt_W.

    dt_W: learning step. beta_0, beta_1: weights of S_i S_j and of S_i dS_j in DEEP's rule.
    sign: learn from the signs of dW alone. regularized: subtract the L1 penalty.
    sparse: remove weak weights (|W| <= tol_W) at random, equation (3), at the temperature temp.
    """

    dt_W: float = 1.0  # noqa: N815  (the published names)
    beta_0: float = 0.0
    beta_1: float = 1.0
    sign: bool = False
    regularized: bool = False
    reg_W: float = 0.00015  # noqa: N815
    sparse: bool = False
    tol_W: float = 0.01  # noqa: N815
    temp: float = 5.0


class DirectedDrive(NamedTuple):
    """What a phase of a directed network leaves unchanged."""

    x: torch.Tensor  # (batch, n_x), the states of the input neurons
    inputs: torch.Tensor  # (n_nets, batch, n_free), what they and the biases add to F
    coupling: torch.Tensor  # (n_nets, n_free, n_free): dF_j / dS_i


class Trace(NamedTuple):
    """What DEEP's rule has gathered of the steps of a nudged phase, c = beta_0 S + beta_1 dS."""

    products: torch.Tensor  # (n_nets, n_free, n_free): sum over steps and samples of S_i c_j
    total: torch.Tensor  # (n_nets, batch, n_free): sum over steps of c

    def add(self, more: Trace, who: torch.Tensor) -> None:
        """Add what the networks `who` (indices) have gathered, in place."""
        self.products[who] += more.products
        self.total[who] += more.total

    def __add__(self, other: Trace) -> Trace:
        return Trace(self.products + other.products, self.total + other.total)


class TracedState(list):
    """The layers, and what the rule has gathered on the way to them."""

    def __init__(self, layers: Tensors, trace: Trace) -> None:
        super().__init__(layers)
        self.trace = trace


def draw(
    seed: int, n_nets: int, epoch: int, purpose: int, shape: Sequence[int], normal: bool = False
) -> torch.Tensor:
    """Random numbers (n_nets, *shape), N(0, 1) or U(0, 1), that depend on the arguments alone.

    Those of network k depend on nothing but k and the other arguments, and not on n_nets: a run can
    be resumed at any epoch, and a network be taken out of a larger batch.
    """
    values = np.empty((n_nets, *shape))
    for k in range(n_nets):
        generator = np.random.default_rng([seed, k, epoch, purpose])
        values[k] = generator.standard_normal(shape) if normal else generator.random(shape)
    return torch.from_numpy(values)


def connection_mask(n_x: int, hidden: Sequence[int], n_out: int, layered: bool) -> torch.Tensor:
    """1 where a connection is allowed, (N, N).

    Complete: everything but self-connections and connections into inputs. Layered: neighbouring
    layers in both directions, and the last input neuron to every later layer. That is meant for
    DEEP's bias neuron; as published asymmetric EP has it too, for its last true input.
    """
    sizes = [n_x, *hidden, n_out]
    layer = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))  # (N,)
    if layered:
        mask = (layer[:, None] - layer[None, :]).abs() == 1
        if n_x:
            mask[n_x - 1] = True
    else:
        mask = ~torch.eye(len(layer), dtype=torch.bool)
    mask[:, :n_x] = False
    return mask.to(torch.float64)


def zero_trace(state: torch.Tensor) -> Trace:
    nets, _, n = state.shape
    return Trace(state.new_zeros(nets, n, n), torch.zeros_like(state))


def trace_of(s: Tensors, state: torch.Tensor) -> Trace:
    """What the layers `s` carry; zeros if they come from a free phase."""
    return s.trace if isinstance(s, TracedState) else zero_trace(state)


def pruning_probabilities(W: torch.Tensor, tol_W: float, temp: float) -> torch.Tensor:
    """Probability to lose each weight, equation (3), 0 for a strong one (|W| > tol_W); like W.

    A Boltzmann distribution over all that could lead into a neuron: as published, connections that
    do not exist count as weights of 0.
    """
    return torch.softmax(-W.abs() / temp, -2) * (W.abs() <= tol_W)


def prune(W: torch.Tensor, uniform: torch.Tensor, tol_W: float, temp: float) -> torch.Tensor:
    """W without the weights whose probability is above the `uniform` random number, like W."""
    return W * (pruning_probabilities(W, tol_W, temp) <= uniform)
