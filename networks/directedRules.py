"""How directed networks are taught and tested, all of a batch of them at once.

lesson = net.rules["DEEP"].learn(net, data, target, schedule)
lesson.measures["mse_free"]                               # (n_nets,)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from networks.gradients import gradients_at_rest
from networks.phases import both_phases, free_phase, nudged_phase
from networks.rules import Rule
from networks.schedule import Lesson
from solvers import Solution


class Phase(NamedTuple):
    """How a phase ended, for each network."""

    state: torch.Tensor  # (n_nets, batch, n_free)
    steps: torch.Tensor  # (n_nets,), steps made
    force: torch.Tensor  # (n_nets,), sum of F^2 over samples and neurons in the last step
    change: torch.Tensor  # (n_nets,), Euclidean norm of the last change of the state
    trace: Any = None  # `Trace` of a nudged phase that DEEP's rule reads


@torch.no_grad()
def learn_by_directed(
    net, data: torch.Tensor, target: torch.Tensor, schedule: Any, start=None
) -> Lesson:
    """Teach all networks one full batch by the published rule of their class.

    Args:
        data: (batch, n_in), in [0, 1]. target: (batch, n_out).
        schedule: T, Kmax, beta, and `epoch` (counted from 1; 1 if missing) for the random numbers;
            with `nudge` "linear" the update is minus the exact gradient at rest, whatever the
            published rule, and with `both_signs` the contrast of two second phases.
        start: layers to start from; if left out they are drawn for the epoch. DEEP's free phase
            does not forget them: states carried over from epoch to epoch store the answers, and
            the networks fail from any other start. Judge what it has learnt from a fresh one.
    Returns:
        output (n_nets, batch, n_out), at the end of the free phase; its state; measures (n_nets,):
        mse_free, mse_nudged: 1/2 sum of squared errors, mean over the batch, at the end of a phase.
        error_free, error_nudged: % of samples in the wrong class.
        residual, residual_nudged: Euclidean norm of the last change of the states of all samples.
        force_free, force_nudged: sum of F^2 of the last step, mean over the batch; not 0 at rest,
        where a neuron is held at 0 or 1.
        steps_free, steps_nudged: steps made, or most sweeps of a sample.
        change_W: sum of |change of W|.
        sparsity: % of the admissible weights that are 0. diverged: 1 if not finite, and frozen.
        Without a second phase steps_nudged and residual_nudged are the products and the residual
        of the linear response, and there is no other measure of it.
    """
    epoch = getattr(schedule, "epoch", 1)
    drive = net.drive(data)
    free = free_run(net, drive, first_state(net, drive, epoch, start), schedule)
    measures = {f"{k}_free": v for k, v in measures_of(net, free, target).items()}
    lost = ~free.force.isfinite()
    if getattr(schedule, "nudge", "finite") == "linear":
        (dW, dB), found = exact_update(net, data, target, free.state)
        measures |= {f"{k}_nudged": v for k, v in found.items()}
    else:
        (dW, dB), nudged = finite_update(net, drive, free.state, schedule, target)
        measures |= {f"{k}_nudged": v for k, v in measures_of(net, nudged, target).items()}
        lost = lost | ~nudged.force.isfinite()
    lost = lost.to(dW)
    net.team.average([dW, dB, lost])
    factor = getattr(schedule, "factor", 1.0)
    with net.noise.clean():
        change = net.adapt(dW, dB, epoch=epoch, frozen=lost != 0, factor=factor)
    measures["residual"] = measures.pop("residual_free")
    measures |= {"change_W": change, "sparsity": net.sparsity(), "diverged": net.diverged.double()}
    return Lesson(outputs(net, free.state), net.layers(free.state), measures)


@torch.no_grad()
def rest_directed(
    net, data: torch.Tensor, target: torch.Tensor, schedule: Any, start=None
) -> Lesson:
    """Test all networks: a free phase. Arguments and measures as in `learn_by_directed`."""
    drive = net.drive(data)
    state = first_state(net, drive, getattr(schedule, "epoch", 1), start)
    free = free_run(net, drive, state, schedule)
    measures = {f"{k}_free": v for k, v in measures_of(net, free, target).items()}
    measures["residual"] = measures.pop("residual_free")
    measures |= {"sparsity": net.sparsity(), "diverged": net.diverged.double()}
    return Lesson(outputs(net, free.state), net.layers(free.state), measures)


def first_state(net, drive, epoch: int, start) -> torch.Tensor:
    return net.pack(net.initHidden(drive, epoch) if start is None else start)


def steps_only(schedule: Any) -> bool:
    return getattr(schedule, "solver", "step") == "step"


def free_run(net, drive, state: torch.Tensor, schedule) -> Phase:
    """The free phase from a packed state."""
    if steps_only(schedule):
        return net.run(drive, state, schedule.T, stop=net.stop)
    return described(net, drive, free_phase(net, drive, net.layers(state), schedule))


def nudged_run(net, drive, state: torch.Tensor, schedule, target: torch.Tensor) -> Phase:
    """The nudged phase from a packed state."""
    if steps_only(schedule):
        return net.run(drive, state, schedule.Kmax, target, schedule.beta, net.stop)
    found = nudged_phase(net, drive, net.layers(state), schedule, target)
    return described(net, drive, found, target, schedule.beta)


def finite_update(
    net, drive, state: torch.Tensor, schedule, target: torch.Tensor
) -> tuple[tuple[torch.Tensor, torch.Tensor], Phase]:
    """The published rule's update from a packed free state, and the phase towards the target."""
    beta = schedule.beta
    if getattr(schedule, "both_signs", False):
        minus, nudged = nudged_runs(net, drive, state, schedule, target)
        s_free, s_nudged = net.ends([state], [minus.state], [nudged.state])
        update = net.contrast(drive, s_free[0], s_nudged[0], None)
        beta = 2 * abs(beta)
    else:
        nudged = nudged_run(net, drive, state, schedule, target)
        update = net.contrast(drive, state, nudged.state, nudged.trace)
    scale = net.scale(schedule.Kmax, beta, len(drive.x))
    return tuple(scale * v for v in update), nudged


def nudged_runs(
    net, drive, state: torch.Tensor, schedule, target: torch.Tensor
) -> tuple[Phase, Phase]:
    """The nudged phases by -|beta| and |beta| from a packed state, run together.

    Of steps the networks are doubled, as the nudge is folded into their matrices; of sweeps the
    samples.
    """
    beta, n = abs(schedule.beta), len(state)
    if steps_only(schedule):
        signs = state.new_ones(2 * n, 1, 1)
        signs[:n].neg_()
        doubled = drive._replace(inputs=drive.inputs.repeat(2, 1, 1))
        doubled = doubled._replace(coupling=drive.coupling.repeat(2, 1, 1))
        states = state.repeat(2, 1, 1)
        found = net.run(doubled, states, schedule.Kmax, target, beta * signs, net.stop)
        halves = (slice(n), slice(n, None))
        return tuple(Phase(*(v if v is None else v[half] for v in found)) for half in halves)
    found, *both = both_phases(net, drive, net.layers(state), schedule, target)
    sweeps = found.sweeps.split(len(target), -1)
    return tuple(
        described(net, drive, Solution(s, one), target, sign * beta)
        for s, one, sign in zip(both, sweeps, (-1, 1), strict=True)
    )


def exact_update(
    net, data: torch.Tensor, target: torch.Tensor, state: torch.Tensor
) -> tuple[tuple[torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]:
    """Minus the gradient at a packed state of rest; products and residual, (n_nets,) each."""
    pairs, found = gradients_at_rest(net, data, target, net.layers(state))
    taken, residual = (v.view(net.n_nets, -1).amax(1) for v in (found.sweeps, found.residual))
    return tuple(-v for v in pairs[0]), {"steps": taken, "residual": residual}


def described(net, drive, found: Solution, target=None, beta: float = 0.0) -> Phase:
    """A solution as the end of a phase; force and change are those of one step more."""
    state = net.pack(found.state)
    sweeps = torch.as_tensor(found.sweeps, device=state.device).expand(state.shape[:-1])
    more = net.run(drive, state, 1, target, beta)
    return more._replace(state=state, steps=sweeps.amax(-1))


def outputs(net, state: torch.Tensor) -> torch.Tensor:
    """States of the output neurons, (n_nets, batch, n_out)."""
    return state[..., -net.n_out :]


def measures_of(net, phase: Phase, target: torch.Tensor) -> dict:
    """What the end of a phase says of each network, (n_nets,) each."""
    output, batch = outputs(net, phase.state), len(target)
    if net.n_out == 1:
        wrong = (output[..., 0] >= 0.5) != (target[:, 0] >= 0.5)  # (n_nets, batch)
    else:
        wrong = output.argmax(2) != target.argmax(1)
    return {
        "mse": (output - target).square().sum((1, 2)) / (2 * batch),
        "error": 100 * wrong.to(output).mean(1),
        "residual": net.team.total(phase.change.square()).sqrt(),
        "force": phase.force / batch,
        "steps": phase.steps.to(output),
    }


DIRECTED = Rule(learn_by_directed, rest_directed)
