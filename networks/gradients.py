"""The exact gradient that rules are judged against, through steps (BPTT) and at rest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from networks.agreement import Agreement
from networks.schedule import Pairs, Tensors
from solvers import Solution, krylov

LINEAR_TOL = 1e-4  # of the adjoint of a step, unless told otherwise


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


def agreement(D: torch.Tensor, N: torch.Tensor) -> Agreement:
    """How far an update D and the gradient N agree, both of any shape, the same."""
    D, N = D.flatten().double(), N.flatten().double()  # products of float32 may vanish
    same, zero = (D * N > 0).double().mean(), ((D == 0) & (N == 0)).double().mean()
    smallest = torch.finfo(torch.float64).tiny  # a shorter vector counts as 0
    cosine = torch.nn.functional.cosine_similarity(D, N, 0, smallest)
    return Agreement(100 * same.item(), 100 * zero.item(), cosine.item())
