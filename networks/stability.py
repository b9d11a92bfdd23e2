"""Is a state that a directed network has reached stable? Gershgorin's discs, and the eigenvalues.

lesson = rest_directed(net, data, target, schedule)
stability(net, data, lesson.state)["stable"]              # (n_nets,)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from networks.directedNetwork import DirectedNetwork
from networks.schedule import Tensors


class Certificate(NamedTuple):
    """Gershgorin's discs of a Jacobian, per neuron (..., n), and what they say, (...)."""

    b0: torch.Tensor  # centres: the diagonal
    b1_row: torch.Tensor  # radii by what comes in, sum_i |W_ij|
    b1_column: torch.Tensor  # radii by what goes out, sum_k |W_jk|
    first: torch.Tensor  # all centres are negative
    second_row: torch.Tensor  # all radii are smaller than |centre|
    second_column: torch.Tensor
    fails_row: torch.Tensor  # number of neurons whose radius is larger than |centre|
    fails_column: torch.Tensor

    @property
    def stable(self) -> torch.Tensor:
        """Certified, by row or by column."""
        return self.first & (self.second_row | self.second_column)


def gershgorin(coupling: torch.Tensor) -> Certificate:
    """Proposition 2: sufficient conditions for stability, from `coupling` (..., n, n) alone.

    For asymmetric EP it certifies networks with small weights. As printed it cannot certify any
    DEEP network, because nothing leads into inputs: with the sums over the neurons that move,
    sum_k |W_jk| >= |sum_k W_jk| for every j (the condition by column fails everywhere), and summed
    over j both kinds of radii are the same, so that some |W_ij| sum must reach its |sum_k W_jk| too
    (the condition by row fails somewhere). There is nothing to certify either: every column of
    DEEP's Jacobian sums to 0 (Proposition 1), so that 0 is one of its eigenvalues. Where DEEP has
    a stable state, the bounds 0 and 1 make it so, and only the reduced Jacobian shows it: see
    `stability`.
    """
    b0 = coupling.diagonal(dim1=-2, dim2=-1)
    strength = coupling.abs()
    b1_row, b1_column = strength.sum(-2) - b0.abs(), strength.sum(-1) - b0.abs()
    return Certificate(
        b0,
        b1_row,
        b1_column,
        first=(b0 < 0).all(-1),
        second_row=(b1_row < b0.abs()).all(-1),
        second_column=(b1_column < b0.abs()).all(-1),
        fails_row=(b1_row > b0.abs()).sum(-1),
        fails_column=(b1_column > b0.abs()).sum(-1),
    )


def reduce_coupling(coupling: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """Cut the held neurons (..., n) out of a coupling (..., n, n) of the same size.

    They get a place on the diagonal further left than every eigenvalue of the rest.
    """
    moving = (~held).to(coupling)
    far = 1 + coupling.abs().sum((-2, -1))
    cut = coupling * moving[..., None] * moving[..., None, :]
    return cut - torch.diag_embed(held.to(coupling) * far[..., None])


def spectral_abscissa(coupling: torch.Tensor, held: torch.Tensor | None = None) -> torch.Tensor:
    """Largest real part of an eigenvalue of the neurons that are not held, (...); -inf without any.

    Args:
        coupling: (..., n, n). held: (..., n), neurons that the bounds 0 and 1 hold.
    """
    if held is None:
        return torch.linalg.eigvals(coupling).real.amax(-1)
    largest = torch.linalg.eigvals(reduce_coupling(coupling, held)).real.amax(-1)
    return torch.where(held.all(-1), -math.inf, largest)


@torch.no_grad()
def stability(net: DirectedNetwork, data: torch.Tensor, s: Tensors) -> dict[str, torch.Tensor]:
    """What can be said of the stability of the free states `s` that the networks have reached.

    A neuron at 0 with F < 0, or at 1 with F > 0, is held: a small disturbance does not move it. The
    others make up the reduced Jacobian, and its eigenvalues decide.

    Returns:
        (n_nets,) each. certified_row, certified_column, fails_row, fails_column: Proposition 2 as
        printed. certified_reduced: the same discs, by row or by column, of the neurons that move,
        for every sample. abscissa: spectral abscissa of the reduced Jacobian, the largest over the
        samples; abscissa_full: without the bounds. stable: abscissa < 0. held: % of the neurons.
        speed: largest |F| of a neuron that is not held; 0 at a fixed point.
    """
    drive, state = net.drive(data), net.pack(s)
    sound = drive.coupling.isfinite().flatten(1).all(1)[:, None, None]
    force, by_sample, coupling = net.linearised(drive, state)
    held = ((state <= 0) & (force < 0)) | ((state >= 1) & (force > 0))  # (n_nets, batch, n_free)
    coupling = torch.where(sound, coupling, 0.0)
    by_sample = torch.where(sound[:, None], by_sample, 0.0)
    whole, reduced = gershgorin(coupling), gershgorin(reduce_coupling(by_sample, held))
    abscissa = spectral_abscissa(by_sample, held).amax(1)
    return {
        "certified_row": whole.first & whole.second_row,
        "certified_column": whole.first & whole.second_column,
        "certified_reduced": reduced.stable.all(1),
        "fails_row": whole.fails_row,
        "fails_column": whole.fails_column,
        "abscissa": abscissa,
        "abscissa_full": spectral_abscissa(coupling),
        "stable": abscissa < 0,
        "held": 100 * held.to(state).mean((1, 2)),
        "speed": torch.where(held, 0.0, force).abs().amax((1, 2)),
    }
