"""The phases of every equilibrium network, free and nudged, by the solver of the schedule."""

from __future__ import annotations

import dataclasses

import torch

from networks.schedule import Lesson, Schedule, Tensors
from parallel import WORST
from solvers import SOLVERS, Beta, Search, Solution, check_pull, largest_change

REST_SWEEPS = 100  # most sweeps of a free phase whose linear response is asked for, at least
NOISY_SWEEPS = 20  # of a relaxed free phase with noise in its states, which never rests
OSCILLATES = 0.05  # change per step above which a state is not at rest


def free_phase(net, drive, s: Tensors, schedule: Schedule, fewer: int = 0) -> Solution:
    """Run a free phase from s by the solver of the schedule; stepping takes `fewer` steps less."""
    search = Search(schedule.T - fewer, schedule.tol)
    if schedule.solver != "step":
        limit = most_sweeps(net, schedule)
        least = limit if net.noise.shakes else net.relaxing.least
        search = Search(limit, schedule.tol or None, schedule.omega or None, least)
    return SOLVERS[schedule.solver](net, drive, s, search)


def most_sweeps(net, schedule: Schedule) -> int:
    """Of a relaxed free phase; more where the response at its end is that of a state at rest.

    With noise in the states it takes so many, as nothing comes to rest.
    """
    if net.noise.state:
        return schedule.max_sweeps or NOISY_SWEEPS
    own = net.relaxing.max_sweeps
    return schedule.max_sweeps or (max(own, REST_SWEEPS) if schedule.nudge == "linear" else own)


def nudged_phase(
    net,
    drive,
    s: Tensors,
    schedule: Schedule,
    target: torch.Tensor,
    beta: Beta | None = None,
    clamps: bool = False,
) -> Solution:
    """Run the nudged phase from the free state s; steps that follow sweeps are not cut short.

    Args:
        beta: that of the schedule unless given.
        clamps: hold the output at s_0 + beta (y - s_0) instead of drawing it to the target.
    """
    beta = schedule.beta if beta is None else beta
    solver, search = "step", Search(schedule.Kmax, schedule.tol)
    if schedule.solver != "step":
        solver, n = schedule.nudged or net.relaxing.nudged, schedule.nudged_sweeps
        least, most = (n, n) if n else net.relaxing.nudged_sweeps
        most = least if net.noise.shakes else most
        sweeps = Search(most, schedule.tol or None, schedule.omega or None, least)
        search = sweeps if solver == "relax" else Search(schedule.Kmax)
    free = not (net.bounded or net.loss.reads_out)  # the output, of bounds
    if clamps:
        target, search = s[0] + beta * (target - s[0]), search._replace(clamps=True)
        solver = "step" if solver == "short" else solver
    elif solver == "relax" and isinstance(beta, torch.Tensor) and free:
        check_pull(-abs(schedule.beta))
    return SOLVERS[solver](net, drive, s, search, target, beta)


def both_phases(
    net, drive, s: Tensors, schedule: Schedule, target: torch.Tensor, clamps: bool = False
) -> tuple[Solution, Tensors, Tensors]:
    """Nudge by -|beta| and by |beta| from the same free state s, as one batch of twice the size.

    Returns:
        What the solver found of both, and the state under each.
    """
    n = len(target)
    twice = torch.arange(2 * n, device=target.device) % n
    beta = target.new_full((2 * n, 1), abs(schedule.beta))
    beta[:n].neg_()
    doubled = net.cut(drive, twice), net.rows_of(s, twice)
    found = nudged_phase(net, *doubled, schedule, target[twice], beta, clamps)
    return found, *(net.rows_of(found.state, half) for half in (slice(n), slice(n, None)))


def measures_of_search(**phases: Solution) -> dict[str, torch.Tensor]:
    """Sweeps and residual of the relaxed phases, by the names of both: mean, and worst sample."""
    found = {}
    for name, phase in phases.items():
        if isinstance(phase.sweeps, torch.Tensor):
            for measure, values in (("sweeps", phase.sweeps), ("residual", phase.residual)):
                found[f"{measure}_{name}"] = values.mean()
                found[f"{measure}_{name}{WORST}"] = values.amax()
    return found


def is_of_search(name: str) -> bool:
    """Whether a measure is one of `measures_of_search`."""
    return name.startswith(("sweeps_", "residual_"))


@torch.no_grad()
def rest(net, data, target, schedule: Schedule, start: Tensors | None = None) -> Lesson:
    """Test one batch: run a free phase, and tell whether it has come to rest.

    After steps, two steps more tell it: a state that moves from one step to the next, but not from
    one to the next but one, oscillates with period 2. Sweeps do not oscillate, and their residual
    is known.
    """
    drive = net.drive(data)
    if schedule.solver != "step":
        own = NOISY_SWEEPS if net.noise.state else net.relaxing.test_sweeps
        most = schedule.max_sweeps or own
        schedule = dataclasses.replace(schedule, max_sweeps=most)
    found = free_phase(net, drive, start or net.initHidden(drive), schedule)
    s = found.state
    if schedule.solver != "step":
        measures = {"residual": found.residual.amax(), "sweeps": found.sweeps.mean()}
        return Lesson(net.output(s), s, measures)
    once = net(drive, s, 1)
    moved, back = largest_change(s, once), largest_change(s, net(drive, once, 1))
    oscillating = (moved > OSCILLATES) & (back < moved / 4)
    return Lesson(
        net.output(s),
        s,
        {"residual": moved.amax(), "oscillating": 100 * oscillating.double().mean()},
    )


def other_sign(net, schedule: Schedule) -> float:
    """The nudge of the other sign: -beta; by sweeps one that moves the output as far, away.

    A pull p = `nudge_gain` beta takes an output p / (1 + p) of its way to the target, so that -p
    would throw it much further, and from p = 1 on to the bounds.
    """
    swept = schedule.solver == "relax" and (schedule.nudged or net.relaxing.nudged) == "relax"
    swept = swept and schedule.nudge == "finite"
    pull = net.nudge_gain * schedule.beta
    return -schedule.beta / (1 + 2 * pull) if swept and pull > -0.5 else -schedule.beta
