"""Directed graphs: DEEP (Tristany Farinha et al. 2020) and asymmetric EP (Scellier et al. 2018).

net = DEEP(n_in=2, hidden=5, n_out=1, n_nets=10, seed=0)
schedule = SimpleNamespace(T=1000, Kmax=1000, beta=10.0, epoch=1)
lesson = net.rules["DEEP"].learn(net, data, target, schedule)
lesson.measures["mse_free"]                               # (n_nets,)
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
from torch import nn

from networks.directedNetwork import DirectedNetwork
from networks.directedParts import Plasticity, TracedState, trace_of
from networks.directedRules import DIRECTED
from solvers import nudged_output


class DEEP(DirectedNetwork):
    """Directed EP, equations (1) and (2): F_j = sum_i W_ij S_i - S_j sum_i W_ji + nudge.

    Biases are weights from a neuron that is always 1, the last input, which the network adds to the
    data itself.

    Args:
        bias: with that neuron; without it (and without data) the sum of all states is conserved.
    """

    rules = {"DEEP": DIRECTED}
    published = Plasticity(dt_W=100.0)
    traces = True
    restless = (
        "its dynamics conserve sums of states, so that the start of a phase decides its end, and "
        "its rule is made of the steps in between"
    )

    def __init__(self, *args: Any, bias: bool = True, **options: Any) -> None:
        self.extra_inputs = int(bias)
        super().__init__(*args, **options)

    def leak(self, weights):
        return weights[:, self.n_x :].sum(2)

    def input_states(self, data):
        return nn.functional.pad(data.flatten(1), (0, self.extra_inputs), value=1.0)

    def stepper(self, drive, s, target=None, beta=0.0):
        """One step; a nudged one adds S_i (beta_0 S_j + beta_1 dS_j) to what the state carries."""
        after = super().stepper(drive, s, target, beta)
        if not beta:
            return after
        states = torch.stack([self.pack(s), self.pack(after)])
        return TracedState(after, trace_of(s, states[0]) + self.gather(states))

    def contrast(self, drive, free, nudged, trace):
        if trace is None:
            raise ValueError("DEEP learns from the steps of a nudged phase: beta must not be 0")
        return self.full_matrix(drive.x.t() @ trace.total, trace.products), self.biases[0] * 0

    def scale(self, T2, beta, batch):
        return 1.0 / (T2 * batch)


class AsymmetricEP(DirectedNetwork):
    """Asymmetric EP: F_j = sum_i W_ij S_i + B_j - S_j + nudge; a rule of one step.

    dW_ij = S_i (S_j nudged - S_j free) / beta, with the free S_i. Biases start at 0, and are of all
    neurons (N,), 0 for inputs, as published.
    """

    rules = {"asymEP": DIRECTED}
    published = Plasticity(dt_W=1.0)
    bounded = True

    def first_biases(self):
        return torch.zeros(self.n_nets, self.n_x + self.n_free, dtype=torch.float64)

    def leak(self, weights):
        return torch.ones_like(weights[:, 0, self.n_x :])

    def contrast(self, drive, free, nudged, trace):
        change = nudged - free
        rows = (drive.x.t() @ change, free.mT @ change)
        return self.full_matrix(*rows), nn.functional.pad(change.sum(1), (self.n_x, 0))

    def scale(self, T2, beta, batch):
        return 1.0 / (beta * batch)

    def ends(self, s_free, s_minus, s_plus):
        """The presynaptic states are the free ones."""
        change = zip(s_free, s_plus, s_minus, strict=True)
        return s_free, [v + plus - minus for v, plus, minus in change]

    @functools.cached_property
    def places(self) -> list[slice]:
        """Per layer, output first, its columns in the packed state."""
        ends = list(itertools.accumulate(self.sizes))
        return [slice(end - n, end) for end, n in zip(ends, self.sizes, strict=True)][::-1]

    @functools.cached_property
    def joined_inside(self) -> list[bool]:
        """Per layer, whether its neurons are connected with each other, as in a complete graph."""
        mask = self.mask[self.n_x :, self.n_x :]
        return [bool(mask[own, own].any()) for own in self.places]

    def settled_layer(self, drive, s, seen, i, target, beta):
        """As in the base class; with connections inside the layer, half the way towards it."""
        own = self.places[i]
        force = torch.baddbmm(drive.inputs[..., own], self.pack(s), drive.coupling[..., own])
        received = force.view_as(s[i]) + s[i]
        goal = nudged_output(received, target, beta if i == 0 else 0.0, True)
        return torch.lerp(s[i], goal, 0.5) if self.joined_inside[i] else goal
