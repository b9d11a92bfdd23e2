"""Layered and convolutional networks with separate forward and backward weights: the vector field.

    net = AsymmetricEPdisc([10, 512, 512, 784], activation="sigm", seed=0)
    net.synapse_names                                               # W01, W12, W2x, V10, V21

Layer i receives from layer i + 1 by W_i, as in the symmetric network, and from layer i - 1, which
is nearer to the output, by weights of its own instead of W_i-1 transposed. Such dynamics
ds/dt = mu(s, theta) are no gradient flow, and the update is
(dmu/dtheta at the free state)^T (s(beta) - s(free)) / beta: what a nudge moves the postsynaptic
unit by, times what the synapse sees of the presynaptic unit in the free phase. It is the gradient
where the backward weights are the forward ones and theory promises it of the symmetric network.

Source: Scellier, Goyal, Binas, Mesnard & Bengio 2018; Laborieux et al. 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from networks.conv import convEP
from networks.layered import EPcont, EPdisc
from networks.schedule import Pairs, Tensors
from solvers import Relaxing

BACKWARDS = 2**31  # added to the seed of the backward weights, far from all forward ones


class Backwards:
    """What an asymmetric network has beside the symmetric one that it is mixed into.

    The backward weights are the last pairs of `synapses`, in the order of their forward partners:
    of the synapses between layers all but the last, which see the data. Each has the shape and the
    distribution of its partner, (units that send, units that receive), so that equal tensors make
    the symmetric network; its bias is empty, and its rate is that of its partner.

    Raises:
        ValueError: no layer receives from one nearer to the output, or weak feedback is asked for.
    """

    n_back = 0  # pairs of synapses that lead backwards

    def __init__(self, *args: Any, seed: int = 0, **options: Any) -> None:
        super().__init__(*args, seed=seed, **options)
        if self.feedback != 1.0:
            raise ValueError("--feedback weakens symmetric weights: leave out --asymmetric, or it")
        partners = self.joining[:-1]
        if not partners:
            raise ValueError(
                "--asymmetric: no layer of this network receives from one nearer to the output: "
                "add a hidden layer"
            )
        generator = torch.Generator().manual_seed(seed + BACKWARDS)
        for w, _ in partners:
            bound = 1.0 / math.sqrt(w[0].numel())
            values = torch.empty(w.shape).uniform_(-bound, bound, generator=generator)
            self.weights.append(nn.Parameter(values))
            self.biases.append(nn.Parameter(torch.empty(0)))
        self.n_back = len(partners)
        self.synapse_names = [*self.synapse_names, *self.names_of_backward()]

    def names_of_backward(self) -> list[str]:
        raise NotImplementedError

    @property
    def joining(self) -> Pairs:
        """The forward synapses between layers."""
        return self.synapses[self.n_read : len(self.weights) - self.n_back]

    @property
    def backward(self) -> Tensors:
        """The weights by which layer i + 1 receives from layer i, for i = 0, 1, ..."""
        return [w for w, _ in self.synapses[len(self.weights) - self.n_back :]]

    @property
    def n_rates(self) -> int:
        return len(self.weights) - self.n_back

    def rates_of(self, lr_tab: Sequence[float]) -> list[float]:
        return [*lr_tab, *lr_tab[self.n_read : -1]]

    def options(self) -> dict[str, Any]:
        return super().options() | {"asymmetric": True}

    def ends(self, s_free, s_minus, s_plus):
        """The presynaptic states are the free ones."""
        change = zip(s_free, s_plus, s_minus, strict=True)
        return s_free, [v + plus - minus for v, plus, minus in change]

    def floor(self, s, target):
        partners = zip(self.backward, self.joining, strict=False)
        if all(torch.equal(v, w) for v, (w, _) in partners):
            return super().floor(s, target)
        return "the backward weights are not the forward ones transposed"

    @property
    def relaxing(self) -> Relaxing:
        """Not symmetric, a step may turn about its rest, which over-relaxed sweeps leave."""
        return super().relaxing._replace(omega=1.0)

    def moved(self, s_free: Tensors, s_nudged: Tensors) -> Tensors:
        """Per layer what the nudge does, times the slope at which the layer receives."""
        return [nudged - free for nudged, free in zip(s_nudged, s_free, strict=True)]

    def parts(self, pairs: Pairs, scales: Sequence[float]) -> tuple[list, list]:
        """(weight, bias, scale) of the forward synapses between layers, and of the backward."""
        every = [(w, b, scale) for (w, b), scale in zip(pairs, scales, strict=True)]
        first = len(every) - self.n_back
        return every[self.n_read : first], every[first:]


def add_dense(forward: list, backward: list, moved: Tensors, seen: Tensors) -> None:
    """Add the update of a chain of dense layers, each (batch, n), output first.

    Args:
        forward, backward: as from `Backwards.parts`. seen: what the synapses see of the layers.
    """
    for (w, b, scale), own, below in zip(forward, moved, seen[1:], strict=False):
        w.addmm_(own.t(), below, alpha=scale)
        b.add_(own.sum(0), alpha=scale)
    for (v, _, scale), above, own in zip(backward, seen, moved[1:], strict=False):
        v.addmm_(above.t(), own, alpha=scale)


class AsymmetricLayers(Backwards):
    """Of layered networks."""

    def names_of_backward(self):
        return [f"V{i + 1}{i}" for i in range(self.n_layers - 1)]

    def constants(self, data):
        return [*super().constants(data), *self.backward]

    def wire(self, constants):
        first = len(constants) - self.n_back
        drive = super().wire(constants[:first])
        for i, v in enumerate(constants[first:]):
            links = drive.links[i + 1]
            links[:] = [(j, v if j == i else matrix) for j, matrix in links]
        return drive

    def add_contrast(self, pairs, drive, s_free, s_nudged, scales):
        seen = [*(self.signal(v) for v in s_free), drive.x]
        add_dense(*self.parts(pairs, scales), self.moved(s_free, s_nudged), seen)


class AsymmetricEPdisc(AsymmetricLayers, EPdisc):
    """Prototypical setting, s_i <- s_i + dt [-s_i + rho(W_i s_i+1 + b_i + V_i s_i-1)].

    As in the symmetric network the update leaves out the slope of rho.
    """


class AsymmetricEPcont(AsymmetricLayers, EPcont):
    """Energy-based setting, ds_i/dt = -s_i + rho'(s_i) [W_i rho(s_i+1) + b_i + V_i rho(s_i-1)].

    A gradient flow only if the backward weights are the forward ones. The output layer has rho'
    where that of the symmetric network has it, in the dynamics and in the update.
    """

    def moved(self, s_free, s_nudged):
        changes = super().moved(s_free, s_nudged)
        for i, (change, v) in enumerate(zip(changes, s_free, strict=True)):
            if self.sloped[i]:
                changes[i] = self.rho.times_slope(change * self.gains[i], v, self.rho(v))
        return changes


class AsymmetricConvEP(Backwards, convEP):
    """Convolutional network: backwards through kernels of its own, and dense weights of its own.

    A map receives the transposed convolution of the one above by a kernel of the shape of the
    forward one, unpooled at the places of the forward maxima.
    """

    def names_of_backward(self):
        return [f"V{name[1:]}" for name in self.synapse_names[self.n_read : -1]]

    def constants(self, data):
        back = [
            v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v
            for v in self.backward
        ]
        return [*super().constants(data), *back]

    def wire(self, constants):
        first = len(constants) - self.n_back
        back = constants[first:]
        dense, kernels = back[: self.n_dense], back[self.n_dense :]
        return super().wire(constants[:first])._replace(dense_back=dense, kernels_back=kernels)

    def add_contrast(self, pairs, drive, s_free, s_nudged, scales):
        n, moved = self.n_dense, self.moved(s_free, s_nudged)
        forward, backward = self.parts(pairs, scales)
        chains = ([*v[:n], v[n].flatten(1)] for v in (moved, s_free))
        add_dense(forward[:n], backward[:n], *chains)
        maps, moved = [*s_free[n:], drive.x], moved[n:]
        for k, (w, b, scale) in enumerate(forward[n:]):
            w.add_(self.of_kernel(k, w.shape, maps[k + 1], moved[k], s_free), alpha=scale)
            b.add_(moved[k].sum((0, 2, 3)), alpha=scale)
        for k, (v, _, scale) in enumerate(backward[n:]):
            v.add_(self.of_kernel(k, v.shape, moved[k + 1], maps[k], s_free), alpha=scale)

    def of_kernel(self, k, shape, below, above, s):
        """Sum over places of `below`, as kernel k sees it, times `above`, unpooled as in s."""
        spread = self.unpool(k, above, s.positions[k])
        return nn.grad.conv2d_weight(below, shape, spread, self.strides[k], self.pads[k])
