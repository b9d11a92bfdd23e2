"""Optimisers: what becomes of an update on its way to the weights, by torch.optim's own functions.

    net.optimizer = Optimizer("adam", list(net.parameters()))
    EP.learn(net, data, target, Schedule(T=30, Kmax=10, beta=0.1, lr_tab=[0.001]))

Plain gradient descent needs none: `make_optimizer` returns None, and a rule adds its products to
the weights as it makes them. The functions are those that torch's classes call, without the seconds
that a class takes to load torch's compiler; the state is a dictionary of tensors, for a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd

PLAIN = "sgd"
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8  # torch's defaults
KEPT = {  # per parameter, by optimiser
    "sgd": (),
    "momentum": ("momentum",),
    "nesterov": ("momentum",),
    "adam": ("mean", "square", "step"),
    "adamw": ("mean", "square", "step"),
}


class Optimizer:
    """Changes parameters along their updates, with a rate for each, and keeps what it must know.

    Args:
        name: a key of `KEPT`. parameters: in the order of every later call.
        momentum: share of the last change that is kept, of "momentum" and "nesterov".
        weight_decay: of the weights and biases, added to their gradients times this; of "adamw"
            they shrink by rate times this instead.
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[torch.Tensor],
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        self.name = name
        self.state: dict[str, torch.Tensor] = {}
        for kind in KEPT[name]:
            for i, parameter in enumerate(parameters):
                step = kind == "step"  # a count, on the CPU, as torch keeps it
                fresh = torch.zeros(()) if step else torch.zeros_like(parameter.detach())
                self.state[f"{kind}.{i}"] = fresh
        shared: dict[str, Any] = {"weight_decay": weight_decay}
        if "step" in KEPT[name]:
            shared |= {"beta1": ADAM_BETAS[0], "beta2": ADAM_BETAS[1], "eps": ADAM_EPS}
            shared |= {"amsgrad": False, "decoupled_weight_decay": name == "adamw"}
            self.change = partial(adam, **shared)
        else:
            shared |= {"momentum": momentum if KEPT[name] else 0.0, "dampening": 0.0}
            self.change = partial(sgd, nesterov=name == "nesterov", **shared)

    @torch.no_grad()
    def step(
        self,
        parameters: Sequence[torch.Tensor],
        updates: Sequence[torch.Tensor],
        rates: Sequence[float],
    ) -> None:
        """Change the parameters in place.

        Args:
            updates: shaped as the parameters; directions of ascent where the rate is positive, as
                EP's are, and where it is negative gradients to descend.
            rates: one for each parameter.
        """
        for rate in dict.fromkeys(rates):  # torch takes one rate a call
            chosen = [i for i, own in enumerate(rates) if own == rate]
            parts = [[parameters[i] for i in chosen], [updates[i] for i in chosen]]
            kept = [[self.state[f"{kind}.{i}"] for i in chosen] for kind in KEPT[self.name]]
            if "step" in KEPT[self.name]:
                kept.insert(2, [])  # largest squares, of a variant that is not offered
            elif not kept:
                kept = [[None] * len(chosen)]
            self.change(*parts, *kept, lr=abs(rate), maximize=rate > 0)

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Take up a stored state.

        Raises:
            ValueError: it is of another optimiser, or of other parameters.
        """
        shapes, stored = ({k: v.shape for k, v in of.items()} for of in (self.state, state))
        if shapes != stored:
            raise ValueError(f"this is not the state of {self.name} for these parameters")
        for name, values in self.state.items():
            values.copy_(state[name])


def make_optimizer(
    name: str, parameters: Sequence[torch.Tensor], momentum: float, weight_decay: float
) -> Optimizer | None:
    """An optimiser, or None where updates are added as they are."""
    if name == PLAIN and not weight_decay:
        return None
    return Optimizer(name, parameters, momentum, weight_decay)
