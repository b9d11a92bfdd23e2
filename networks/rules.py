"""The rules of every equilibrium network: EP and its relatives, and the BPTT it is judged against.

lesson = EP.learn(net, data, target, Schedule(T=30, Kmax=10, beta=0.1, lr_tab=[0.04, 0.08]))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch

from networks.gradients import gradients_at_rest, gradients_through
from networks.phases import both_phases, free_phase, measures_of_search, nudged_phase, rest
from networks.schedule import Lesson, Pairs, Schedule, Tensors


@torch.no_grad()
def learn_by_ep(
    net,
    data,
    target,
    schedule: Schedule,
    start: Tensors | None = None,
    clamps: bool = False,
) -> Lesson:
    """Teach one batch by equilibrium propagation.

    Args:
        start: the state to start from, or zero.
        clamps: as for `nudged_phase`, which makes it coupled learning.
    """
    drive = net.drive(data)
    free = nudged = free_phase(net, drive, start or net.initHidden(drive), schedule)
    s, rates, found = free.state, schedule.lr_tab, {"free": free}
    output, direct = net.output(s), net.loss.direct(net, s, target)
    if schedule.nudge == "linear":
        gradients, nudged = gradients_at_rest(net, data, target, s, schedule.tol)
        measures = net.learn_from([(-w, -b) for w, b in gradients], s, rates)
    elif schedule.nudge == "continual":
        measures = follow_nudge(net, data, target, s, schedule, direct)
    elif schedule.both_signs:
        nudged, *pair = both_phases(net, drive, s, schedule, target, clamps)
        update = net.computeGradients(drive, *net.ends(s, *pair), 2 * abs(schedule.beta), direct)
        measures = net.learn_from(update, s, rates)
    else:
        nudged = nudged_phase(net, drive, s, schedule, target, clamps=clamps)
        measures = net.learn(drive, s, nudged.state, schedule.beta, rates, direct)
    found |= {"nudged": nudged} if nudged is not free else {}
    return Lesson(output, s, measures | measures_of_search(**found))


def follow_nudge(
    net, data, target, s: Tensors, schedule: Schedule, direct: Pairs
) -> dict[str, torch.Tensor]:
    """Continual EP: Kmax nudged steps from s, each of which changes the weights at once.

    direct: what the loss asks of weights of its own, which they take at the first step.

    Source: Ernoult et al. 2020, whose update of a step is the contrast of two successive states.
    """
    free, total = s, [(torch.zeros_like(w), torch.zeros_like(b)) for w, b in net.synapses]
    for _ in range(schedule.Kmax):
        net.stopping.grant()
        drive = net.drive(data)
        before, s = s, net.advance(drive, s, target, schedule.beta)
        update = net.computeGradients(drive, before, s, schedule.beta, direct)
        direct = ()
        for pair, more in zip(total, update, strict=True):
            pair[0].add_(more[0])
            pair[1].add_(more[1])
        net.updateWeights(update, schedule.lr_tab)
    return net.measures_of(total, free)


def learn_by_coupling(net, data, target, schedule: Schedule, start=None) -> Lesson:
    """Teach one batch by coupled learning: the output is held at s_0 + eta (y - s_0), eta = beta.

    Source: Stern, Hexner, Rocks & Liu 2021.
    """
    if net.loss.reads_out:
        raise ValueError("the output of a read-out is no state that could be held")
    plan = dataclasses.replace(schedule, nudge="finite")
    return learn_by_ep(net, data, target, plan, start, clamps=True)


def learn_by_contrast(net, data, target, schedule: Schedule, start=None) -> Lesson:
    """Teach one batch by contrastive learning: the output is held at the target, eta = 1.

    Source: Movellan 1991, for networks with an energy.
    """
    plan = dataclasses.replace(schedule, beta=1.0, both_signs=False)
    return learn_by_coupling(net, data, target, plan, start)


def learn_by_bptt(net, data, target, schedule: Schedule, start: Tensors | None = None) -> Lesson:
    """Teach one batch by BPTT through the last Kmax steps, which are steps whatever the solver."""
    plan = dataclasses.replace(schedule, tol=0.0) if schedule.solver == "step" else schedule
    with torch.no_grad():
        drive = net.drive(data)
        free = free_phase(net, drive, start or net.initHidden(drive), plan, fewer=plan.Kmax)
    s, gradients = gradients_through(net, data, target, free.state, plan.Kmax)
    with torch.no_grad():
        output = net.output(s)
    net.updateWeights(gradients, [-lr for lr in plan.lr_tab])
    return Lesson(output, s, measures_of_search(free=free))


class Rule(NamedTuple):
    """How a batch is taught and tested: both take (net, data, target, schedule, start)."""

    learn: Callable[..., Lesson]
    test: Callable[..., Lesson] = rest


EP, BPTT = Rule(learn_by_ep), Rule(learn_by_bptt)
COUPLED, CONTRASTIVE = Rule(learn_by_coupling), Rule(learn_by_contrast)
