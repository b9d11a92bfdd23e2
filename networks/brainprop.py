"""BrainProp: reward-based learning of one chosen output unit at a time, and the error
backpropagation (EBP) it is judged against (Pozzi, Bohte & Roelfsema 2020, NeurIPS).

    net = build_classifier("conv", shape=(1, 28, 28), n_classes=10, seed=0)
    lesson = learn_by_brainprop(net, data, target, Schedule(lr_tab=[0.1], ...))   # one batch
    answer = look(net, data, target, schedule).output.argmax(1)                   # (batch,)

Why the gradient of the loss on the chosen unit is the paper's rule. The loss of a sample is
1/2 (r - q_k)^2, k the chosen unit and r its reward, so that for any weight w

    -dloss/dw = (r - q_k) dq_k/dw = delta * dq_k/dw.

delta is one number for the whole network, the reward-prediction error, which a neuromodulator can
broadcast. dq_k/dw is what the attentional feedback makes locally known: it starts as 1 at the
chosen unit and 0 at all others, and each layer passes down what it received through the transposed
weights, gated by the units that are active (the derivative of ReLU). For a synapse from i to j that
gives delta * (feedback at j) * (activity of i): presynaptic activity, times postsynaptic feedback
where the unit is active, times the broadcast error. Backpropagation through the graph of q_k
computes exactly these products, with delta multiplied in at the top instead of at each synapse,
which is the same because everything below the output is linear in the feedback. An update is the
mean over the batch. Where there is batch normalisation, its mean and variance are differentiated,
too, as in the published program: there a sample's feedback is not its own alone.

The nets are the published ones: no layer has a bias (batch normalisation has its own), and both
rules start from the same weights if they get the same seed. They have no state between batches but
the running mean and variance of batch normalisation, which are part of `state_dict()`.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from networks.base import Network
from networks.brainpropLayers import FromPositions, LocallyConnected, ToPositions
from networks.rules import Rule
from networks.schedule import Lesson, Schedule
from parallel import ALONE, Team

# Of mallopt: the threshold of mapping, that of trimming, and what is asked for at a time.
GLIBC_KEEPS = ((-3, 2**25), (-1, 2**30), (-2, 2**26))
HIDDEN = (1500, 1000, 500)  # units of the hidden layers of `dense`, as published


class Classifier(Network, nn.Sequential):
    """A net of the paper, from `build_classifier`; its output is linear, (batch, n_classes).

    Attributes:
        architecture, shape, n_classes: what it was built for.
        multiplications: of a forward pass, for a sample.
        epsilon: share of explored choices, in [0, 1].
        l2: the loss has l2 * the sum of squares of `kernels`, 0 for all but `deep`.
        kernels: the weights of the layers, from the input to the output.
    """

    architecture: str
    shape: tuple[int, ...]
    n_classes: int
    epsilon: float
    l2: float
    multiplications: int = 0
    broadcast: torch.Tensor  # (batch,), what a feedback of 1 is as a gradient of the loss

    def options(self) -> dict[str, Any]:
        return {"architecture": self.architecture, "epsilon": self.epsilon} | self.sizes()

    def sizes(self) -> dict[str, list[int]]:
        """Of `dense` with other hidden layers than the published ones, all its layers'."""
        sizes = [weight.shape[0] for weight in self.kernels[::-1]]
        if self.architecture != "dense" or tuple(sizes[:0:-1]) == HIDDEN:
            return {}
        return {"size_tab": [*sizes, math.prod(self.shape)]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output q; with noise in the activity of the units, and in what they feed back.

        The feedback begins as 1 at the chosen unit; what a layer receives of it has noise as large
        beside that 1 as the activity's own.
        """
        if not self.noise.shakes:
            return super().forward(x)
        axis = 0  # of the samples
        for layer in self:
            x = layer(x)
            axis = {ToPositions: -1, FromPositions: 0}.get(type(layer), axis)
            if isinstance(layer, nn.ReLU):
                x = x + self.noise.drawn(x.detach())
                if x.requires_grad:
                    x.register_hook(functools.partial(self.feed_back, axis))
        return x + self.noise.drawn(x.detach())

    def feed_back(self, axis: int, gradient: torch.Tensor) -> torch.Tensor:
        """What a layer receives on the way back, with noise; axis: of the samples."""
        shape = [1] * gradient.dim()
        shape[axis] = -1
        return gradient + self.noise.drawn(gradient) * self.broadcast.view(shape)

    @property
    def devices(self) -> list[nn.Parameter]:
        return self.kernels

    @property
    def kernels(self) -> list[nn.Parameter]:
        kinds = (nn.Linear, nn.Conv2d, LocallyConnected)
        return [layer.weight for layer in self if isinstance(layer, kinds)]


# ------------------------------------------------------------------------- the choice and the loss


def choose(
    q: torch.Tensor, epsilon: float, team: Team = ALONE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose one output unit per sample: the largest, or with probability epsilon a draw.

    A draw is from softmax(q), as arg max(q + g), g with the Gumbel distribution: one arg max serves
    both. It may fall on the largest unit, too. Randomness is from torch's global generator.

    Args:
        q: (batch, n_classes).
    Returns:
        chosen: (batch,), int64 unit.
        explored: (batch,), bool, where a draw was made.
    """
    q = q.detach()
    shape = team.whole_shape(q.shape)
    explored = team.cut(torch.rand(shape[0], 1, device=q.device) < epsilon)  # (batch, 1)
    gumbel = team.cut(q.new_empty(shape).exponential_().log_().neg_())  # (batch, n_classes)
    return torch.where(explored, q + gumbel, q).argmax(1), explored.squeeze(1)


def brainprop_loss(q: torch.Tensor, chosen: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Half the squared reward-prediction error of the chosen units, mean over the batch.

    The published program tells the chosen unit by its output not being 0, so that a unit of output
    0 learns nothing, and divides by the nominal batch size also where the last batch is smaller:
    here the choice is handed over, and a batch is as large as it is.

    Args:
        q: (batch, n_classes). chosen: (batch,), int64. target: (batch, n_classes), one-hot.
    """
    k = chosen.unsqueeze(1)
    delta = target.gather(1, k) - q.gather(1, k)  # (batch, 1)
    return delta.square().sum() / (2 * len(q))


def ebp_loss(q: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of softmax(q), mean over the batch; target (batch, n_classes), one-hot."""
    return F.cross_entropy(q, target.argmax(1))


# ------------------------------------------------------------------------------------- one batch


def learn_by_brainprop(
    net: Classifier,
    data: torch.Tensor,
    target: torch.Tensor,
    schedule: Schedule,
    start: list[torch.Tensor] | None = None,
) -> Lesson:
    """Teach one batch by BrainProp, in place, at the rate schedule.lr_tab[0].

    Choice and dropout draw from torch's global generator: seed it per batch to be able to go on
    from anywhere.

    Args:
        data: (batch, *net.shape), in [0, 1]. target: (batch, n_classes), one-hot.
        start: not used, these nets have no state that outlasts a batch.
    Returns:
        The output q (batch, n_classes) before the update, and as measure `explored` the share of
        samples whose unit was drawn.
    """
    q = answer_in_training(net, data)
    chosen, explored = choose(q, net.epsilon, net.team)
    delta = (target - q.detach()).gather(1, chosen.unsqueeze(1)).squeeze(1)
    net.broadcast = net.team.weight * delta / len(q)
    descend(net, brainprop_loss(q, chosen, target), schedule.lr_tab[0])
    return Lesson(q.detach(), measures={"explored": explored.to(q.dtype).mean()})


def learn_by_ebp(
    net: Classifier,
    data: torch.Tensor,
    target: torch.Tensor,
    schedule: Schedule,
    start: list[torch.Tensor] | None = None,
) -> Lesson:
    """Teach one batch by error backpropagation; the output is softmax(q), before the update.

    See `learn_by_brainprop`.
    """
    q = answer_in_training(net, data)
    net.broadcast = q.new_full((len(q),), net.team.weight / len(q))
    descend(net, ebp_loss(q, target), schedule.lr_tab[0])
    return Lesson(q.detach().softmax(1))


@torch.no_grad()
def look(
    net: Classifier,
    data: torch.Tensor,
    target: torch.Tensor,
    schedule: Schedule,
    start: list[torch.Tensor] | None = None,
) -> Lesson:
    """Test on one batch: the output (batch, n_classes), whose arg max is the answer."""
    if net.training:
        net.eval()
    return Lesson(net(data))


def look_at_softmax(net, data, target, schedule, start=None) -> Lesson:
    """The same for a net taught by EBP, whose output is softmax(q)."""
    return Lesson(look(net, data, target, schedule).output.softmax(1))


Classifier.rules = {
    "BrainProp": Rule(learn_by_brainprop, look),
    "EBP": Rule(learn_by_ebp, look_at_softmax),
}


def answer_in_training(net: Classifier, data: torch.Tensor) -> torch.Tensor:
    """q (batch, n_classes) with its graph; batch normalisation and dropout as in training."""
    if not net.training:
        net.train()
    with torch.enable_grad():
        return net(data)


@torch.no_grad()
def descend(net: Classifier, loss: torch.Tensor, rate: float) -> None:
    """One step of descent on loss + net.l2 * (sum of squares of the kernels).

    It is plain gradient descent, unless the net has an optimiser.

    The loss is the mean over the samples of this process. Through batch normalisation others'
    losses depend on its activity, so that the shares are weighed before the way back.
    """
    parameters = list(net.parameters())
    with torch.enable_grad():
        share = loss * net.team.weight
    gradients = torch.autograd.grad(share, parameters)
    net.team.add_up(gradients)
    with net.noise.clean():
        add_to_weights(net, parameters, gradients, rate)


def add_to_weights(
    net: Classifier, parameters: list[nn.Parameter], gradients: Sequence[torch.Tensor], rate: float
) -> None:
    """The update of `descend`, from gradients of all parameters, in place."""
    if net.optimizer is not None:
        penalised = {id(kernel) for kernel in net.kernels} if net.l2 else set()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if id(parameter) in penalised:
                gradient.add_(parameter, alpha=2.0 * net.l2)
        net.optimizer.step(parameters, gradients, [-rate] * len(parameters))
        return
    if net.l2:
        torch._foreach_mul_(net.kernels, 1.0 - 2.0 * rate * net.l2)
    torch._foreach_add_(parameters, gradients, alpha=-rate)


def cosine_to_backpropagation(net: Classifier, data: torch.Tensor, target: torch.Tensor) -> float:
    """Cosine between BrainProp's update, of greedy choices, and that of backpropagation, which

    descends half the squared error of all outputs; of all parameters together. The net, and torch's
    random numbers, are left as they are.
    """
    net = copy.deepcopy(net)
    with torch.random.fork_rng(enabled=data.device.type == "cpu"), torch.enable_grad():
        q = answer_in_training(net, data)
        parameters = list(net.parameters())
        losses = (
            brainprop_loss(q, q.detach().argmax(1), target),
            (target - q).square().sum() / (2 * len(q)),
        )
        flat = [
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(loss, parameters, retain_graph=True)]
            )
            for loss in losses
        ]
    return torch.cosine_similarity(*flat, dim=0).item()


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for the next batch; return whether it does.

    The activity of a layer of `conv` is 13 MB. Handed back to the system and asked for anew with
    every batch, it has to be cleared every time, which took a sixth of an epoch. The setting is
    for the whole process, of glibc (the C library of most Linux systems): blocks below 32 MB are
    not mapped one by one, and up to 1 GB that is free at the end stays. Elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    accepted = [mallopt(setting, value) for setting, value in GLIBC_KEEPS]
    return all(accepted)
