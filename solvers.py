"""How an equilibrium is found: by the published steps, or by sweeps that go straight to it.

    free = SOLVERS["relax"](net, drive, net.initHidden(drive), Search(100))
    nudged = SOLVERS["step"](net, drive, free.state, Search(12), target, beta=0.5)

Every solver takes (net, drive, state, search, target, beta) and returns a `Solution`; beta is one
number for all samples, or one each, (batch, 1). What `relax` asks of a network is listed in
`EquilibriumNetwork`; it never asks which network it is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from errors import NoEquilibrium

SETTLE_EVERY = 10  # steps between two looks at the residual with a tolerance
LOOK_EVERY = 2  # sweeps between two looks at what has come to rest
READ_EVERY = 6  # sweeps between two times that the program waits for a GPU to say what it saw
FIRST_LOOK = 6  # sweeps before it can pay to look: a look at a small network costs a sweep
LATE = 12  # sweeps after which a sample under way is a slow one: its omega goes half the way to 2
PLAIN_SWEEPS = 1  # the first is not over-relaxed: far from rest that leads astray
MOST_PRODUCTS = 300  # with the matrix of a linear system
DIRECTIONS = 12  # that are kept while it is solved
SHRINK_BY = 0.25  # share of the batch that must be at rest before it leaves


class Relaxing(NamedTuple):
    """How a network is relaxed unless told otherwise.

    omega: over-relaxation, in (0, 2). tol: a sample is at rest when no unit of it is further than
    this from what its neighbours ask of it (times |beta| in a nudged phase). max_sweeps: of a free
    phase. nudged: the solver of the nudged phase. nudged_sweeps: if that is "relax", the least and
    the most sweeps it takes; (n, n) are n sweeps, rest or not. least: sweeps of a free phase
    before it looks for the first time. test_sweeps: of a free phase that tests; a network may learn
    from states that are not at rest, but answers better from rest. shrink_from: samples that are
    swept together from which on those at rest leave; of fewer all stay, as a smaller product gains
    less than it costs to part them.
    """

    omega: float = 1.0
    tol: float = 1e-3
    max_sweeps: int = 100
    nudged: str = "relax"
    nudged_sweeps: tuple[int, int] = (10, 100)
    least: int = FIRST_LOOK
    test_sweeps: int = 100
    shrink_from: int = 64


class Search(NamedTuple):
    """How long and how well to search.

    limit: steps, or most sweeps. tol: None: steps until the limit, sweeps until the network's own.
    omega: None: the network's own. least: sweeps before a sample can be taken to be at rest.
    clamps: the output is held at the target, instead of drawn to it by beta.
    """

    limit: int
    tol: float | None = None
    omega: float | None = None
    least: int = FIRST_LOOK
    clamps: bool = False


class Solution(NamedTuple):
    """What a solver has found."""

    state: Any  # layers, each (batch, ...), output first
    sweeps: torch.Tensor | int  # of each sample (batch,), or of all: sweeps or steps made
    residual: torch.Tensor | None = None  # (batch,), largest gap of a unit in the last look, if any


Beta = float | torch.Tensor  # strength of the nudge, of all samples or (batch, 1) of each


def pulls(beta: Beta) -> bool:
    """Whether there is a nudge at all."""
    return isinstance(beta, torch.Tensor) or beta != 0


# Steps ------------------------------------------------------------------------------------------


def largest_change(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> torch.Tensor:
    """Largest change of any unit between two states, per sample (batch,)."""
    changes = [(a - b).abs().flatten(1).amax(1) for a, b in zip(after, before, strict=True)]
    return torch.stack(changes).amax(0)


class Settled:
    """An observer that ends a phase at equilibrium: no unit moves more than `tol` in a step."""

    def __init__(self, tol: float) -> None:
        self.tol, self.steps = tol, 0
        self.residual: torch.Tensor | None = None  # (batch,), when it last looked

    def __call__(self, t: int, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]):
        self.steps = t + 1
        if t % SETTLE_EVERY != SETTLE_EVERY - 1:
            return False
        self.residual = largest_change(before, after)
        return self.residual.max().item() <= self.tol


def settle_rule(tol: float) -> Settled | None:
    """An observer that ends a phase at equilibrium, or None without a tolerance."""
    return Settled(tol) if tol else None


def step(net, drive, s, search: Search, target=None, beta: Beta = 0.0) -> Solution:
    """The published way: `limit` synchronous steps, fewer if `tol` says that all samples rest."""
    stop = settle_rule(search.tol or 0.0)
    if search.clamps:
        return held(net, drive, s, search.limit, target)
    state = net(drive, s, search.limit, target, beta, observe=stop)
    return Solution(state, stop.steps, stop.residual) if stop else Solution(state, search.limit)


def held(net, drive, s, limit: int, output: torch.Tensor) -> Solution:
    """`limit` steps during which the output stays what it is told to be."""
    s = net.with_output(s, output)
    for _ in range(limit):
        net.stopping.grant()
        s = net.with_output(net.advance(drive, s), output)
    return Solution(s, limit)


def short(net, drive, s, search: Search, target=None, beta: Beta = 0.0) -> Solution:
    """`limit` published steps one by one: what prepares for many does not pay for few."""
    for _ in range(search.limit):
        net.stopping.grant()
        s = net.advance(drive, s, target, beta)
    return Solution(s, search.limit)


# Sweeps -----------------------------------------------------------------------------------------


def nudged_output(
    received: torch.Tensor, target: torch.Tensor | None, pull: Beta, bounded: bool
) -> torch.Tensor:
    """The output's own equation s = received + pull (target - s), solved for s (batch, n_out).

    Between bounds it is the lowest point of the energy (1 + pull) s^2 / 2 - (received + pull
    target) s on [0, 1]: where the energy bends downwards, one of the bounds.

    Raises:
        NoEquilibrium: pull is -1 or below, and nothing bounds the output: it would run away. Of a
            pull for each sample it is not asked, as a GPU would have to wait: `check_pull` does.
    """
    if not pulls(pull):
        return received.clamp(0.0, 1.0) if bounded else received
    if isinstance(pull, torch.Tensor):
        drawn, width = torch.addcmul(received, target, pull), 1 + pull
        if not bounded:
            return drawn.div_(width)
        return torch.where(
            width > 0, (drawn / width).clamp_(0.0, 1.0), (2 * drawn > width).to(drawn)
        )
    drawn = torch.add(received, target, alpha=pull)
    if pull > -1:
        drawn = drawn.div_(1 + pull)
        return drawn.clamp_(0.0, 1.0) if bounded else drawn
    if not bounded:
        check_pull(pull)
    return (2 * drawn > 1 + pull).to(drawn)


def check_pull(pull: float) -> None:
    """Raise NoEquilibrium if an output without bounds has no rest under this nudge."""
    if pull <= -1:
        raise NoEquilibrium(
            f"a nudge of {pull:g} drives an output without bounds away for ever: there is no "
            "equilibrium to relax to at -1 or below (--beta above -1, or --solver step)"
        )


@torch.no_grad()
def relax(net, drive, s, search: Search, target=None, beta: Beta = 0.0) -> Solution:
    """Sweep over the layers, s_i <- s_i + omega (settled_i - s_i), until each sample is at rest.

    A sample at rest is kept as it is, whatever the others do, so that no result depends on the
    company: neither on the batch, nor on how often the program looks, nor on who has left.

    Raises:
        ValueError: the network cannot be relaxed, omega is outside (0, 2), tol is not positive, or
            there is no equilibrium with this beta.
    """
    limit, tol, omega, least, _ = checked(net, search)
    if search.clamps:
        s = net.with_output(s, target)
    going = whole = Sweeps(net, drive, net.movable(s), target, beta)
    if search.clamps:
        whole.order.remove(0)
    looked = 0
    waits = read_every(going.weight.device)
    for done in range(1, limit + 1):
        net.stopping.grant()
        if done == PLAIN_SWEEPS + 1:
            going.weight.mul_(omega)
        elif done == LATE + 1 and omega > 1.0:
            going.weight.mul_((omega + 2.0) / (2.0 * omega))
        looks = (done >= least and done % LOOK_EVERY == 0) or done == limit
        gap = going.sweep(looks, over=omega > 1.0 and done > PLAIN_SWEEPS)
        if looks:
            going.note(gap, done - looked, tol)
            looked = done
        if looks and done % waits == 0 and done < limit:
            n_left = int(going.weight.count_nonzero())
            if not n_left:
                break
            if going.may_shrink_to(n_left):
                going = going.those_moving(whole)
    if going is not whole:
        whole.take_back(going)
        whole.refresh()
    return Solution(net.finished(drive, whole.s, whole.seen), whole.sweeps, whole.residual)


def read_every(device: torch.device) -> int:
    """Sweeps between two times that the program asks who is left; a multiple of LOOK_EVERY."""
    return LOOK_EVERY if device.type == "cpu" else READ_EVERY


def checked(net, search: Search) -> Search:
    """The search, with what it leaves to the network."""
    if net.restless:
        raise ValueError(f"{type(net).__name__} cannot be relaxed: {net.restless}")
    tol = net.relaxing.tol if search.tol is None else search.tol
    omega = net.relaxing.omega if search.omega is None else search.omega
    if not 0 < omega < 2:
        raise ValueError(f"omega is {omega:g}: over-relaxation needs a value between 0 and 2")
    if not tol > 0:
        raise ValueError(f"the tolerance is {tol:g}: to relax until rest it must be above 0")
    return search._replace(tol=tol, omega=omega)


class Sweeps:
    """Samples that are swept together, and how far each of them has come.

    rows: their places in the whole batch; None for all of it.
    """

    def __init__(self, net, drive, s, target, beta: Beta, rows: torch.Tensor | None = None):
        self.net, self.drive, self.s = net, drive, s
        self.target, self.beta, self.rows = target, beta, rows
        self.strength = beta.abs().squeeze(-1) if isinstance(beta, torch.Tensor) else abs(beta) or 1
        self.layers = list(s)
        blocks = net.blocks
        if pulls(beta):  # a nudge enters at the output
            first = next(k for k, block in enumerate(blocks) if 0 in block)
            blocks = blocks[first:] + blocks[:first]
        self.order = [i for block in blocks for i in block]
        shape = net.sample_shape(s)  # one entry per sample
        self.weight = s[0].new_ones(shape)  # omega, and 0 for a sample at rest
        self.sweeps = s[0].new_zeros(shape)
        self.residual, self.none = s[0].new_zeros(shape), s[0].new_zeros(shape)
        inner = [tuple(range(len(shape), v.dim())) for v in s]
        self.inner = inner  # per layer, the axes of its units
        self.weights = [self.weight.view(*shape, *(1 for _ in axes)) for axes in inner]
        self.refresh()

    @property
    def progress(self) -> tuple[torch.Tensor, ...]:
        return self.weight, self.sweeps, self.residual

    def refresh(self) -> None:
        self.seen = [self.net.seen(self.drive, self.layers, i) for i in range(len(self.layers))]

    def sweep(self, looks: bool, over: bool) -> torch.Tensor | None:
        """Move every layer once; return the largest gap of each sample if somebody looks."""
        net, gaps = self.net, []
        for i in self.order:
            v = self.layers[i]
            goal = net.settled_layer(self.drive, self.s, self.seen, i, self.target, self.beta)
            if looks:
                gaps.append((goal - v).abs_().amax(self.inner[i]))
            v.lerp_(goal, self.weights[i])
            if net.noise.shakes:
                v.add_(net.noise.drawn(v))
            if (over or net.noise.shakes) and net.bounded:
                v.clamp_(0.0, 1.0)
            self.seen[i] = net.seen(self.drive, self.layers, i)
        return functools.reduce(torch.maximum, gaps, self.none) if looks else None

    def note(self, gap: torch.Tensor, since: int, tol: float) -> None:
        """Enter a look, `since` sweeps after the last; stop the samples whose gap is within tol

        times the strength of their nudge.
        """
        moving = self.weight.sign()
        self.sweeps.add_(moving, alpha=since)
        self.residual.lerp_(gap, moving)
        self.weight.mul_(gap > tol * self.strength)

    def may_shrink_to(self, n_left: int) -> bool:
        """Whether it pays that all but `n_left` samples leave."""
        n = self.weight.numel()
        least = self.net.relaxing.shrink_from
        return self.weight.dim() == 1 and n >= least and n_left <= (1 - SHRINK_BY) * n

    def those_moving(self, whole: Sweeps) -> Sweeps:
        """The samples that are not at rest, by themselves; the others are handed to `whole`."""
        if self is not whole:
            whole.take_back(self)
        rows = self.weight.nonzero().squeeze(1)
        s = self.net.movable([v[rows] for v in self.layers])
        target = None if self.target is None else self.target[rows]
        beta = self.beta[rows] if isinstance(self.beta, torch.Tensor) else self.beta
        places = rows if self.rows is None else self.rows[rows]
        part = Sweeps(self.net, self.net.cut(self.drive, rows), s, target, beta, places)
        part.order = self.order
        for own, theirs in zip(part.progress, self.progress, strict=True):
            own.copy_(theirs[rows])
        return part

    def take_back(self, part: Sweeps) -> None:
        """Enter where the samples of `part` are now."""
        for own, theirs in zip(self.layers, part.layers, strict=True):
            own[part.rows] = theirs
        self.sweeps[part.rows], self.residual[part.rows] = part.sweeps, part.residual


# Linear systems -------------------------------------------------------------------------------


class Flat:
    """Layers as one tensor (samples..., units), and back."""

    def __init__(self, like: Sequence[torch.Tensor], n_axes: int) -> None:
        self.shapes, self.n_axes = [v.shape for v in like], n_axes  # of the samples
        self.sizes = [math.prod(shape[self.n_axes :]) for shape in self.shapes]

    def join(self, layers: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([v.flatten(self.n_axes) for v in layers], -1)

    def split(self, flat: torch.Tensor) -> list[torch.Tensor]:
        parts = flat.split(self.sizes, -1)
        return [v.reshape(shape) for v, shape in zip(parts, self.shapes, strict=True)]


@torch.no_grad()
def krylov(
    sweep: Callable,
    force: Sequence[torch.Tensor],
    tol: float,
    limit: int = MOST_PRODUCTS,
    n_axes: int = 1,
) -> Solution:
    """Solve x = sweep(x, force), linear in both, for each sample, by the products of sweeps alone.

    The residual is made as small as the directions seen allow, as by GMRES: a direction v with
    q = v - sweep(v, 0) is made orthogonal in q to those before, and the next direction is q. After
    `DIRECTIONS` of them it starts anew from where it is. A sample whose residual is within tol of
    the first stays as it is, whatever the others do.

    Args:
        sweep: takes and returns layers, each (samples..., units...). force: such layers, whose
            first n_axes axes count samples.
    Returns:
        x, and for each sample the directions it took, and |x - sweep(x, force)| beside that of
        x = 0.
    Source: Young & Jea 1980 (Orthodir).
    """
    flat = Flat(force, n_axes)
    none = [torch.zeros_like(v) for v in force]
    tiny = torch.finfo(force[0].dtype).tiny

    def moved(v: torch.Tensor) -> torch.Tensor:
        return v - flat.join(sweep(flat.split(v), none))

    def length(v: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(v, dim=-1, keepdim=True)

    first = flat.join(sweep(none, force))
    x, left, whole = torch.zeros_like(first), first, length(first).clamp(min=tiny)
    taken = torch.zeros_like(whole)
    waits = read_every(first.device)
    for done in range(limit):
        if done % DIRECTIONS == 0:
            left = first - moved(x) if done else first
            v, ways, ends = left / length(left).clamp(min=tiny), [], []
            going = length(left) > tol * whole
        q = moved(v)
        if ends:
            # twice, as once leaves what rounding makes of directions that are nearly parallel
            for _ in range(2):
                shares = [(q * end).sum(-1, keepdim=True) for end in ends]
                for share, way, end in zip(shares, ways, ends, strict=True):
                    q, v = q - share * end, v - share * way
        size = length(q).clamp(min=tiny)
        q, v = q / size, v / size
        pace = (left * q).sum(-1, keepdim=True) * going
        x, left, taken = x + pace * v, left - pace * q, taken + going
        ways.append(v)
        ends.append(q)
        going = going & (length(left) > tol * whole)
        if done % waits == waits - 1 and not going.any():
            break
        v = q
    residual = (length(left) / whole).squeeze(-1)
    return Solution(flat.split(x), taken.squeeze(-1), residual)


SOLVERS = {"step": step, "short": short, "relax": relax}
