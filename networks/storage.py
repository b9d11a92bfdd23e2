"""How many numbers a rule has to keep of a sample while it learns a batch.

They are counted on paper: states that must be there at once for the update, the data and what a
solver or a library sets aside on its way not among them.
"""

from __future__ import annotations

import math

import torch

from networks.brainprop import Classifier
from networks.schedule import Schedule


@torch.no_grad()
def stored_values(net, method: str, x: torch.Tensor, schedule: Schedule) -> int:
    """Numbers per sample of an equilibrium network, n being those of its state.

    EP and its relatives keep the free and the nudged state, 2 n, or the free one and both nudged
    ones, 3 n; the linear response is the free state and its adjoint, 2 n. BPTT keeps the states of
    Kmax steps and the one before them, backpropagation one pass, n.

    Args:
        x: (1, ...), a sample.
    """
    net = net.first()
    n = sum(math.prod(v.shape) for v in net.initHidden(net.drive(x)))
    if method == "BPTT":
        return (schedule.Kmax + 1) * n
    if method == "BP":
        return n
    both = schedule.both_signs and schedule.nudge == "finite" and method != "contrastive"
    return (3 if both else 2) * n


@torch.no_grad()
def stored_activities(net: Classifier, x: torch.Tensor) -> int:
    """Numbers per sample of a feedforward net: the activities of all layers that have weights.

    Args:
        x: (1, ...), a sample.
    """
    sizes: list[int] = []
    kernels = {id(kernel) for kernel in net.kernels}
    layers = [m for m in net if any(id(p) in kernels for p in m.parameters())]
    hooks = [
        layer.register_forward_hook(lambda layer, given, out: sizes.append(out.numel()))
        for layer in layers
    ]
    net.eval()
    net(x)
    for hook in hooks:
        hook.remove()
    return sum(sizes)
