"""What the rules of all systems share: how long and how fast (`Schedule`), what a batch showed

(`Lesson`), and the two rules of every equilibrium network, EP and the BPTT it is judged against.

    lesson = EP.learn(net, data, target, Schedule(T=30, Kmax=10, beta=0.1, lr_tab=[0.04, 0.08]))
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from networks.losses import LOSSES, Squared
from networks.noise import QUIET, Noise
from networks.optimisers import Optimizer, make_optimizer
from parallel import ALONE, WORST, Team
from process import NEVER, StopRequest
from solvers import SOLVERS, Beta, Search, Solution, check_pull, krylov, largest_change

REST_SWEEPS = 100  # most sweeps of a free phase whose linear response is asked for, at least
LINEAR_TOL = 1e-4  # of the adjoint of a step, unless told otherwise
NOISY_SWEEPS = 20  # of a relaxed free phase with noise in its states, which never rests
OSCILLATES = 0.05  # change per step above which a state is not at rest

Tensors = list[torch.Tensor]
Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]  # (weight, bias) per synapse group


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long, how strongly and how fast a network is driven and taught.

    T, Kmax: steps of the free and of the nudged phase; BPTT goes back Kmax steps.
    beta: strength of the nudge. lr_tab: a learning rate per synapse group.
    tol: end a phase when no unit moves more than this in a step (0: never).
    seed: of the order of the data and of all that is drawn.
    random_sign: draw the sign of beta anew for every batch.
    both_signs: nudge by beta and by -beta, and learn from the contrast of the two.
    nudge: how EP learns what a nudge does: "finite" by a phase under one, "linear" by the adjoint
        of a step at rest, which is the limit of no nudge at all, "continual" by a phase in which
        the weights follow every step.
    augment: move and mirror the images to learn from at random.
    persistent: start the free phase of a batch where its last one ended; batches never change.
    measure_training: test on the training data after each epoch, too.
    test_every: epochs from one test to the next; the last epoch is tested, too.
    epoch: the one under way, counted from 1.
    halve_every: epochs after which the rates are halved (0: never).
    cosine: the rates fall to 0 over all epochs, along half a period of a cosine, batch by batch.
    warmup: epochs, or parts of one, over which the rates rise evenly from 0, batch by batch.
    factor: what the rates are multiplied by just now, which `at` sets.
    optimizer, momentum, weight_decay: as of networks/optimisers.py.
    minutes: a method ends after the epoch in which so many minutes of it are over (0: it goes on).
    patience: a method ends after so many epochs without a gain of `min_gain` in the error on the
        validation data, or without any on the test data (0: it goes on).
    solver: how a phase is run, a key of `SOLVERS`. What "relax" reads is the network's own
        (`Relaxing`) where it is 0 or empty: `tol`, `omega`, `max_sweeps` of the free phase, and
        `nudged`, the solver of the nudged phase, of Kmax steps or of `nudged_sweeps` sweeps.
    """

    T: int
    Kmax: int
    beta: float
    lr_tab: list[float]
    batch_size: int = 20
    test_batch_size: int = 1000
    epochs: int = 1
    tol: float = 0.0
    seed: int = 0
    dtype: torch.dtype = torch.float32
    random_sign: bool = False
    both_signs: bool = False
    nudge: str = "finite"
    persistent: bool = False
    measure_training: bool = False
    epoch: int = 1
    test_every: int = 1
    halve_every: int = 0
    cosine: bool = False
    warmup: float = 0.0
    factor: float = 1.0
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    patience: int = 0
    minutes: float = 0.0
    augment: bool = False
    min_gain: float = 0.1
    solver: str = "step"
    omega: float = 0.0
    max_sweeps: int = 0
    nudged: str = ""
    nudged_sweeps: int = 0

    def at(self, epoch: int, batch: int = 0, n_batches: int = 1) -> Schedule:
        """The schedule of an epoch, of its rates those of a batch, counted from 0."""
        done = epoch - 1 + batch / n_batches  # epochs
        factor = 0.5 ** ((epoch - 1) // self.halve_every) if self.halve_every else 1.0
        if self.cosine:
            factor *= (1 + math.cos(math.pi * done / self.epochs)) / 2
        if self.warmup:
            factor *= min(1.0, (done + 1 / n_batches) / self.warmup)
        rates = [rate * factor for rate in self.lr_tab]
        return dataclasses.replace(self, epoch=epoch, lr_tab=rates, factor=factor)


class Lesson(NamedTuple):
    """What a batch showed: of teaching it, or of testing on it."""

    output: torch.Tensor  # (batch, n_out), before any update; (networks, batch, n_out) for many
    state: Tensors | None = None  # at the end of the free phase
    measures: dict[str, torch.Tensor] = {}  # more numbers to keep, by name, on the device


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


def bptt_gradients(
    net: nn.Module,
    data: torch.Tensor,
    target: torch.Tensor,
    T: int,
    K: int,
    start: Tensors | None = None,
) -> tuple[Tensors, Pairs]:
    """Gradients of the loss of a free phase through its last K steps; the others keep no graph.

    Args:
        data: (batch, ...). target: (batch, n_out). start: the first state, zero unless given.
    Returns:
        The last state, and dL/dtheta as (weight, bias) pairs shaped as `net.synapses`; L is what
        the nudge descends, the network's `loss` (times `nudge_gain`), mean over the batch.
    """
    with torch.no_grad():
        drive = net.drive(data)
        s = net(drive, start or net.initHidden(drive), T - K)
    return gradients_through(net, data, target, s, K)


def gradients_through(
    net: nn.Module, data: torch.Tensor, target: torch.Tensor, s: Tensors, K: int
) -> tuple[Tensors, Pairs]:
    """The last state, and the gradients, of K steps from s; as `bptt_gradients` returns them."""
    with torch.enable_grad():
        drive = net.drive(data)
        for _ in range(K):
            net.stopping.grant()
            s = net.advance(drive, s)
        loss = net.loss.cost(net, s, target)
    return [v.detach() for v in s], parameter_gradients(net, [loss], [None])


def parameter_gradients(net: nn.Module, outputs, grad_outputs) -> Pairs:
    """Vector-Jacobian product with respect to the parameters, as pairs shaped as `synapses`."""
    parameters = [p for pair in net.synapses for p in pair]
    flat = pull_back(outputs, parameters, grad_outputs)
    return list(zip(flat[::2], flat[1::2], strict=True))


def pull_back(outputs, inputs, grad_outputs, retain_graph=False) -> tuple[torch.Tensor, ...]:
    """Vector-Jacobian product; 0 where no path leads from an input to the outputs."""
    return torch.autograd.grad(
        outputs,
        inputs,
        grad_outputs,
        retain_graph=retain_graph,
        allow_unused=True,
        materialize_grads=True,
    )


def gradients_at_rest(
    net: nn.Module, data: torch.Tensor, target: torch.Tensor, s: Tensors, tol: float = 0.0
) -> tuple[Pairs, Solution]:
    """Gradients of the loss of the state in which a network rests, by implicit differentiation.

    At rest s = F(s, theta), F being one step, so that dL/dtheta = lambda dF/dtheta with
    lambda = dL/ds + (dF/ds)^T lambda. That is solved by products with the transposed Jacobian
    alone, whether there is an energy (its Jacobian is symmetric) or not.

    Args:
        s: the state at rest. tol: of the residual of lambda beside its right-hand side, per sample;
            0: `LINEAR_TOL`.
    Returns:
        The gradients as `bptt_gradients` returns them, which they are the limit of; and lambda,
        layer by layer.
    Source: Almeida 1987, Pineda 1987; for EP Scellier & Bengio 2017, whose update tends to it as
        beta shrinks.
    """
    with torch.enable_grad():
        leaves = [v.detach().requires_grad_() for v in s]
        after = list(net.stepper(net.drive(data), leaves))
        loss = net.loss.cost(net, leaves, target)
    force = pull_back([loss], leaves, [None], retain_graph=True)
    sweep = adjoint_sweep(net.separate, leaves, after)

    def watched(adjoint: Tensors, force: Tensors) -> Tensors:
        net.stopping.grant()
        return sweep(adjoint, force)

    n_axes = len(net.sample_shape(s))
    found = krylov(watched, force, tol or LINEAR_TOL, n_axes=n_axes)
    return parameter_gradients(net, [*after, loss], [*found.state, None]), found


def adjoint_sweep(blocks: list[list[int]], s: Tensors, after: Tensors) -> Callable:
    """A function of lambda and force (layers) that goes once over the blocks of layers:

    lambda_i <- lambda_i + (force_i + (J^T lambda)_i - lambda_i) / (1 - J_ii). With one block units
    may see each other inside of it, and the divisor is 1.
    """
    divisors = [torch.ones_like(v) for v in s]
    if len(blocks) > 1:
        for block in blocks:
            own, theirs = ([layers[i] for i in block] for layers in (s, after))
            ones = [torch.ones_like(v) for v in own]
            slopes = pull_back(theirs, own, ones, retain_graph=True)
            for i, slope in zip(block, slopes, strict=True):
                divisors[i] = torch.where(slope < 1, 1 - slope, 1.0)

    def sweep(adjoint: Tensors, force: Tensors) -> Tensors:
        adjoint = list(adjoint)
        for block in blocks:
            pulled = pull_back(after, [s[i] for i in block], adjoint, retain_graph=True)
            for i, v in zip(block, pulled, strict=True):
                adjoint[i] = adjoint[i] + (force[i] + v - adjoint[i]) / divisors[i]
        return adjoint

    return sweep


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


class Rule(NamedTuple):
    """How a batch is taught and tested: both take (net, data, target, schedule, start)."""

    learn: Callable[..., Lesson]
    test: Callable[..., Lesson] = rest


EP, BPTT = Rule(learn_by_ep), Rule(learn_by_bptt)
COUPLED, CONTRASTIVE = Rule(learn_by_coupling), Rule(learn_by_contrast)


class Network(nn.Module):
    """What training needs of a network, whatever it computes with."""

    rules: dict[str, Rule] = {}  # by the name of the training method
    n_rates = 1  # how many learning rates it takes
    team: Team = ALONE  # the processes that teach it
    stopping: StopRequest = NEVER  # looked at between the steps of a phase
    optimizer: Optimizer | None = None  # what updates go through; None: they are added as they are
    loss: Squared = LOSSES["squared"]
    noise: Noise = QUIET  # of its states and weights while it is taught or tested

    def output(self, s: Tensors) -> torch.Tensor:
        """What the network answers in a state, (batch, n_out)."""
        return self.loss.output(self, s)

    @property
    def devices(self) -> list[nn.Parameter]:
        """The weights, which noise makes act differently from what is learnt."""
        return [p for p in self.parameters() if p.dim() > 1]

    @property
    def n_parameters(self) -> int:
        """How many numbers it learns."""
        return sum(p.numel() for p in self.parameters())

    restless: str = ""  # why it cannot be relaxed, if it cannot
    block: Callable | None = None  # steps that torch.compile has made one call of
    method: str = ""  # what it was taught by; empty: the first of its rules
    plan: Schedule | None = None  # how it was taught, and so how it answers

    @property
    def multiplications(self) -> int:
        """Of a forward pass for a sample: every weight is used once, a kernel at all places.

        Of a batch of networks those of all of them.
        """
        return max(1, sum(w.numel() for w in self.devices))

    @torch.no_grad()
    def predict(self, x: Any, schedule: Schedule | None = None) -> torch.Tensor:
        """What it answers, the arg max of which is the class.

        Args:
            x: (n, ...) numbers in [0, 1], a tensor or an array, shaped as the data it was made for.
            schedule: how the free phase is run; left out: as it was taught, or else to rest.
        Returns:
            (n, n_out), or of a batch of networks (networks, n, n_out).
        """
        solver = "step" if self.restless else "relax"
        plan = schedule or self.plan or Schedule(1000, 1, 1.0, [], solver=solver)
        rule = self.rules[self.method or next(iter(self.rules))]
        like = next(itertools.chain(self.parameters(), self.buffers()))
        x, outputs = torch.as_tensor(x).to(like.device, like.dtype), []
        for k, part in enumerate(x.split(min(plan.test_batch_size, max(1, len(x))))):
            unknown = part.new_zeros(len(part), 1)  # the target, which an answer does not depend on
            with self.noise.during(self.devices, k):
                outputs.append(rule.test(self, part, unknown, plan, None).output)
        return torch.cat(outputs, -2)

    def options(self) -> dict[str, Any]:
        """The options of the command line that stand for such a network, as far as it knows."""
        return {}

    def use_optimizer(self, schedule: Schedule) -> None:
        """Let updates go through a fresh optimiser as the schedule says, or straight in."""
        plan = (schedule.momentum, schedule.weight_decay)
        self.optimizer = make_optimizer(schedule.optimizer, list(self.parameters()), *plan)

    def first(self) -> Network:
        """Itself; of a batch of networks the first one, by itself."""
        return self

    def initial_records(self) -> dict[str, torch.Tensor]:
        """What a result folder keeps of the untaught network, by name."""
        return {}

    def records(self, history: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What a result folder keeps of the network as it is now, beside its weights, by name.

        Args:
            history: what was measured while teaching, (epochs, batches, ...) by name.
        """
        return {}
