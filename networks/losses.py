"""Losses: what a network answers, what its error is, and how the error pulls at the state.

    net = EPdisc([10, 512, 784], loss="cross-entropy", seed=0)
    answer = net.output(s)                                          # (batch, 10)

Squared error is that of layer 0 of the state, which is the output. With cross-entropy the output is
a softmax that reads layer 0 and does not act back on it: then layer 0 is the last hidden layer, and
the read-out's weights are the first pair of `synapses`.
Source: Laborieux et al. 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

Tensors = list[torch.Tensor]


class Squared:
    """Half the squared error, summed over the outputs."""

    reads_out = False

    def output(self, net: nn.Module, s: Tensors) -> torch.Tensor:
        """The answer, (batch, n_out)."""
        return s[0]

    def cost(self, net: nn.Module, s: Tensors, target: torch.Tensor) -> torch.Tensor:
        """What the nudge descends, mean over the batch."""
        return net.nudge_gain * (s[0] - target).square().sum() / (2 * len(target))

    def pull(self, net: nn.Module, s: Tensors, target: torch.Tensor) -> torch.Tensor:
        """Minus the gradient of each sample's loss at layer 0, (batch, units)."""
        return target - s[0]

    def direct(
        self, net: nn.Module, s: Tensors, target: torch.Tensor
    ) -> list[tuple[torch.Tensor, ...]]:
        """Minus the gradient of the first pairs of `synapses` with the state held as it is."""
        return []

    def of(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of each sample, (..., batch), from answers (..., batch, n_out)."""
        return (output - target).square().sum(-1) / 2


class CrossEntropy(Squared):
    """Cross-entropy of softmax(W s_0 + b)."""

    reads_out = True

    def scores(self, net: nn.Module, s: Tensors) -> torch.Tensor:
        """W s_0 + b, (batch, n_out)."""
        weight, bias = net.synapses[0]
        return torch.addmm(bias, s[0].flatten(1), weight.t())

    def output(self, net, s):
        return self.scores(net, s).softmax(1)

    def cost(self, net, s, target):
        return F.cross_entropy(self.scores(net, s), target)

    def pull(self, net, s, target):
        return (target - self.output(net, s)) @ net.weights[0]

    def direct(self, net, s, target):
        error = (target - self.output(net, s)) / len(target)
        return [(error.t() @ s[0].flatten(1), error.sum(0))]

    def of(self, output, target):
        return -(target * output.clamp(min=torch.finfo(output.dtype).tiny).log()).sum(-1)

    def held_back(
        self,
        net: nn.Module,
        answer: torch.Tensor,
        gap: torch.Tensor,
        slope: torch.Tensor,
        beta: float | torch.Tensor,
    ) -> torch.Tensor:
        """What a nudge grows weaker by as layer 0 follows it, (batch, units).

        A layer that would move by `gap` under the pull where it is moves by less, because the pull
        of cross-entropy shrinks on the way: by gap - slope x of here. To first order
        x = beta W^T u and (1 + beta S M) u = S W gap, S the Jacobian of the softmax and
        M = W slope W^T, a system of n_out equations for each sample. x is 0 where the gap is, so
        that no approximation moves the place of rest. A beta so negative that the equation would
        be near to singular counts as less.

        Args:
            answer: (batch, n_out), the softmax. gap, slope: (batch, units), how far the layer would
                move, and by how much more for a little more of what it receives.
            beta: of all samples, or (batch, 1).
        """
        weight = net.weights[0]
        inner = (weight * slope.unsqueeze(1)) @ weight.t()  # (batch, n_out, n_out)
        trace = inner.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
        strength = torch.as_tensor(beta, dtype=gap.dtype, device=gap.device)
        strength = torch.maximum(strength, -1 / trace.clamp(min=torch.finfo(gap.dtype).eps))
        curved = torch.diag_embed(answer) - answer.unsqueeze(2) * answer.unsqueeze(1)
        identity = torch.eye(len(weight), dtype=gap.dtype, device=gap.device)
        system = identity + strength.unsqueeze(2) * (curved @ inner)
        known = curved @ (gap @ weight.t()).unsqueeze(2)
        u = torch.linalg.solve_ex(system, known)[0].squeeze(2)
        return strength * (u @ weight)


LOSSES = {"squared": Squared(), "cross-entropy": CrossEntropy()}
