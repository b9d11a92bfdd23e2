"""What a unit passes on: rho, its slope and its bend, by the names on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch


class Activation(NamedTuple):
    """rho(v) = shape(gain * v + shift).

    Gain and shift can be moved into what a layer receives, once per phase, so that a step only
    evaluates `shape`. `times_slope(signal, v, rho(v))` is signal * rho'(v) / gain.
    `bend(rho(v))` is rho''(v) / rho'(v), None where that is 0; |rho''| is nowhere above `sharp`.
    """

    shape: Callable[[torch.Tensor], torch.Tensor]
    times_slope: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    gain: float = 1.0
    shift: torch.Tensor | float = 0.0
    bend: Callable[[torch.Tensor], torch.Tensor] | None = None
    sharp: float = 0.0

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        return self.shape(v) if self.gain == 1.0 else self.shape(self.affine(v))

    def affine(self, v: torch.Tensor) -> torch.Tensor:
        return torch.add(self.shift, v, alpha=self.gain) if self.gain != 1.0 else v


ACTIVATIONS = {
    # 1 / (1 + exp(-4 (v - 1/2))), slope 4 rho (1 - rho)
    "sigm": Activation(
        shape=torch.sigmoid,
        times_slope=lambda signal, v, rho: torch.ops.aten.sigmoid_backward(signal, rho),
        gain=4.0,
        shift=torch.tensor(-2.0),  # a tensor of the states' type: torch adds that fastest
        bend=lambda rho: (rho * -8.0).add_(4.0),
        sharp=16 / 108**0.5,
    ),
    "tanh": Activation(
        shape=torch.tanh,
        times_slope=lambda signal, v, rho: torch.ops.aten.tanh_backward(signal, rho),
        bend=lambda rho: rho * -2.0,
        sharp=4 / 27**0.5,
    ),
    # min(max(v, 0), 1), slope 1 on the closed interval [0, 1]
    "hardsigm": Activation(
        shape=lambda v: v.clamp(0.0, 1.0),
        times_slope=lambda signal, v, rho: signal * (v == rho),
    ),
    # min(max(v / 2, 0), 1), slope 1/2 on the closed interval [0, 2]
    "hardsigm2": Activation(
        shape=lambda v: v.clamp(0.0, 1.0),
        times_slope=lambda signal, v, rho: signal * (0.5 * v == rho),
        gain=0.5,
    ),
}
