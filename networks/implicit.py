"""The gradient of the loss at an equilibrium, by implicit differentiation, in double precision.

    found = equilibrium_gradient(net, data, target)
    found.pairs                                      # dL/dtheta, (weight, bias) per synapse group

A step of the dynamics is s' = G(s, theta), and a rest is s = G(s, theta). With a = dL/ds + a dG/ds,
the adjoint, dL/dtheta is a dG/dtheta: BPTT through infinitely many steps at rest, of which only the
last one is kept. Nothing here is shared with any rule of learning.

What autograd takes for slopes where there is none is the convention: a unit that a bound holds at
0 or 1 passes nothing on, one that rests on the bound itself does; a pooled value passes to the
place of its maximum, and of equal ones the first wins (`convEP.fall`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from networks.schedule import Pairs, Tensors
from solvers import SOLVERS, Search

RESTS = 1e-10  # change of a unit per unit of time, at most, in a state that counts as a rest
SWEPT_TO = 1e-13  # tolerance of the sweeps, near rounding
MOST_SWEEPS = 2000
MOST_TIME = 1000.0  # units of time after which steps that have not come to rest are given up
LOOK = 50  # steps between two looks
SOLVED = 1e-10  # largest error of the adjoint's equation, in units of its right-hand side
DENSE = 30_000_000  # entries of all the samples' Jacobians, at most, that are solved directly
FEW = 200  # units, at most, of samples that are solved so at once, and not only where GMRES fails
KRYLOV, RESTARTS = 40, 50  # of GMRES: vectors kept, and how often it begins again
TRIES = 4  # how often, where there is another way


class Reference(NamedTuple):
    """The gradient of a batch, and how far it can be trusted."""

    pairs: Pairs  # dL/dtheta, shaped as `net.synapses`; the loss is a mean over the samples kept
    rows: torch.Tensor  # (n,), the samples that rest, of which it is the gradient
    state: Tensors  # where they rest, each (n, ...)
    gap: float  # their largest change per unit of time
    error: float  # of the adjoint's equation, in units of its right-hand side
    way: str  # how that was solved
    length: int  # sweeps or steps to the rest
    held: float  # share of the units at 0 or 1


class Flow:
    """A step of a network as a function of one matrix (batch, n) in which its layers are joined."""

    def __init__(self, net, drive, s: Sequence[torch.Tensor]) -> None:
        self.net, self.drive = net, drive
        self.shapes = [v.shape[1:] for v in s]

    def joined(self, s: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([v.flatten(1) for v in s], 1)

    def layers(self, z: torch.Tensor) -> Tensors:
        parts = z.split([shape.numel() for shape in self.shapes], 1)
        return [v.reshape(len(z), *shape) for v, shape in zip(parts, self.shapes, strict=True)]

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return self.joined(list(self.net.stepper(self.drive, self.layers(z))))

    def speed(self, s: Sequence[torch.Tensor]) -> torch.Tensor:
        """Largest change of a unit per unit of time, (batch,)."""
        z = self.joined(s)
        return (self(z) - z).abs().amax(1) / self.net.dt


@torch.no_grad()
def find_rest(net, data: torch.Tensor, solver: str) -> tuple[Tensors, torch.Tensor, int]:
    """Where each sample comes to rest from the network's start, by sweeps or by steps.

    Returns:
        The states; their largest change per unit of time (batch,), above `RESTS` where no rest was
        found; how many sweeps or steps were made.
    """
    drive = net.drive(data)
    s = net.initHidden(drive)
    flow = Flow(net, drive, list(s))
    if solver == "relax":
        found = SOLVERS["relax"](net, drive, s, Search(MOST_SWEEPS, SWEPT_TO))
        return list(found.state), flow.speed(found.state), int(found.sweeps.max())
    made, limit = 0, int(MOST_TIME / net.dt)
    while made < limit:
        s = net(drive, s, LOOK)
        made += LOOK
        if (flow.speed(s) <= RESTS / 100).all():
            break
    return list(s), flow.speed(s), made


def equilibrium_gradient(
    net, data: torch.Tensor, target: torch.Tensor, solver: str = "relax"
) -> Reference | None:
    """The gradient of the loss at the free equilibria of a batch; None if no sample has one.

    Args:
        net: of any precision; it is left as it is. data: (batch, ...). target: (batch, n_out).
        solver: "relax" or "step", by which the equilibria are found: a network may have several.
    A sample is left out where no rest is found, or where the adjoint's equation has no solution
    because the rest is one of many beside each other.
    """
    net, data, target = copy.deepcopy(net).double(), data.double(), target.double()
    s, speed, length = find_rest(net, data, solver)
    rows = (speed <= RESTS).nonzero().squeeze(1)
    while len(rows):
        kept = [v[rows] for v in s]
        pairs, errors, way = adjoint_gradient(net, data[rows], target[rows], kept)
        sound = errors <= SOLVED
        if sound.all():
            ends = torch.cat([((v == 0) | (v == 1)).flatten(1) for v in kept], 1)
            gap, error = speed[rows].max().item(), errors.max().item()
            held = ends.double().mean().item()
            return Reference(pairs, rows, kept, gap, error, way, length, held)
        rows = rows[sound]
    return None


@torch.enable_grad()
def adjoint_gradient(
    net, data: torch.Tensor, target: torch.Tensor, s: Tensors
) -> tuple[Pairs, torch.Tensor, str]:
    """The gradient at the rests `s`; the errors of the adjoint's equation (batch,); how solved."""
    drive = net.drive(data)
    flow = Flow(net, drive, s)
    z = flow.joined(s).detach().requires_grad_()
    moved = flow(z)

    def transposed(v: torch.Tensor) -> torch.Tensor:
        """v dG/ds, sample by sample, as the gradient of a number: that needs no sympy."""
        along = (moved * v).sum()
        return torch.autograd.grad(along, z, retain_graph=True, materialize_grads=True)[0]

    loss = net.loss.cost(net, flow.layers(z), target)
    (b,) = torch.autograd.grad(loss, z, retain_graph=True)
    a, errors, way = solve(transposed, b)
    total = net.loss.cost(net, s, target) + (flow(z.detach()) * a).sum()
    parameters = [p for pair in net.synapses for p in pair]
    flat = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
    return list(zip(flat[::2], flat[1::2], strict=True)), errors, way


def solve(transposed: Callable, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, str]:
    """a = b + a J, (batch, n); the error of each sample, in units of b (batch,); and how."""
    size = b.abs().amax(1).clamp(min=torch.finfo(b.dtype).tiny)

    def errors_of(a: torch.Tensor) -> torch.Tensor:
        return ((b + transposed(a) - a).abs().amax(1) / size).nan_to_num(nan=torch.inf)

    fits = b.shape[0] * b.shape[1] ** 2 <= DENSE
    if not fits or b.shape[1] > FEW:
        a = gmres(lambda v: v - transposed(v), b, SOLVED / 10, TRIES if fits else RESTARTS)
        errors = errors_of(a)
        if not fits or (errors <= SOLVED).all():
            return a, errors, "by GMRES"
    a = solve_directly(transposed, b)
    return a, errors_of(a), "directly"


def solve_directly(transposed: Callable, b: torch.Tensor) -> torch.Tensor:
    """a = b + a J, from the whole Jacobian J of each sample; b and a are (batch, n)."""
    batch, n = b.shape
    matrix = b.new_empty(batch, n, n)  # 1 - J, transposed
    one = torch.zeros_like(b)
    for i in range(n):
        one.zero_()[:, i] = 1.0
        matrix[:, :, i] = one - transposed(one)
    return torch.linalg.solve_ex(matrix, b.unsqueeze(2)).result.squeeze(2)


def gmres(apply: Callable, b: torch.Tensor, tol: float, tries: int) -> torch.Tensor:
    """Solve apply(x) = b for each sample, (batch, n), by restarted GMRES (Saad & Schultz 1986)."""
    x, size = torch.zeros_like(b), b.norm(dim=1)
    for _ in range(tries):
        r = b - apply(x)
        length = r.norm(dim=1)
        if (length <= tol * size).all():
            break
        basis = [unit(r, length)]
        H = b.new_zeros(len(b), KRYLOV + 1, KRYLOV)
        for k in range(KRYLOV):
            v, known = apply(basis[k]), torch.stack(basis, 1)  # (batch, k + 1, n)
            for _ in range(2):  # orthogonal to rounding
                along = torch.einsum("bkn,bn->bk", known, v)
                v = v - torch.einsum("bkn,bk->bn", known, along)
                H[:, : k + 1, k] += along
            H[:, k + 1, k] = v.norm(dim=1)
            basis.append(unit(v, H[:, k + 1, k]))
        first = torch.zeros_like(H[:, :, :1])
        first[:, 0, 0] = length
        y = torch.linalg.pinv(H) @ first  # (batch, KRYLOV, 1)
        x = x + torch.einsum("bkn,bk->bn", torch.stack(basis[:-1], 1), y.squeeze(2))
    return x


def unit(v: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """v / |v| of each sample, 0 where there is nothing left."""
    small = length <= 1e-14 * length.max()
    return torch.where(small[:, None], 0.0, v / length.clamp(min=1e-300)[:, None])
