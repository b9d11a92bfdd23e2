"""Plain backpropagation of the feedforward network of the same sizes, which rules are judged by.

lesson = BP.learn(net, data, target, schedule)         # net.rules["BP"]
"""

from __future__ import annotations

import torch

from networks.gradients import parameter_gradients
from networks.rules import Rule
from networks.schedule import Lesson, Schedule, Tensors


def learn_by_backprop(
    net, data, target, schedule: Schedule, start: Tensors | None = None
) -> Lesson:
    """Teach one batch: one pass to the output, the exact gradient of the loss, one update.

    The network has the synapses and activations of the equilibrium network, but no layer receives
    from the one nearer to the output.

    Source: Rumelhart, Hinton & Williams 1986.
    """
    with torch.enable_grad():
        s = net.feedforward(net.drive(data))
        loss = net.loss.cost(net, s, target)
    gradients = parameter_gradients(net, [loss], [None])
    with torch.no_grad():
        output = net.output(s)
    net.updateWeights(gradients, [-lr for lr in schedule.lr_tab])
    return Lesson(output.detach())


@torch.no_grad()
def answer(net, data, target, schedule: Schedule, start: Tensors | None = None) -> Lesson:
    """Test one batch, by the pass that it learns from."""
    return Lesson(net.output(net.feedforward(net.drive(data))))


BP = Rule(learn_by_backprop, answer)
