"""The matrix product that a phase repeats at every step, the fastest way this processor has.

On some processors torch's default product is far from their speed when one factor has only as many
rows as a batch. oneDNN's linear layer with a weight packed beforehand may do better, but is reached
only through private calls. This module is the one place that knows them: `prepare` packs a matrix
where it is measured to pay on the machine at hand, `add_product` multiplies.

    matrix = prepare(weight.t(), rows=20, gain=4.0)     # once per batch
    y = add_product(c, x, matrix, gain=4.0)             # c + 4 x @ weight.T, at every step
"""

from __future__ import annotations

import functools
import time

import torch

SMALLEST_PACKED = 128 * 128  # below this a product is too short for packing to matter
STEPS_PER_PACK = 50  # a batch repeats a product at least about this often
CLEAR_WIN = 1.5  # packed must be faster by this factor, so that noise never decides


class PackedMatrix:
    """`gain * matrix` in the layout that oneDNN's linear layer likes; not differentiable."""

    def __init__(self, matrix: torch.Tensor, rows: int, gain: float):
        weight = (matrix.t() * gain).contiguous()  # (n_out, n_in)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, rows)

    def add_product(self, c: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        product = torch.ops.mkldnn._linear_pointwise(x, self.weight, None, "none", [], "")
        return product.add_(c)


def add_product(
    c: torch.Tensor, x: torch.Tensor, matrix: torch.Tensor | PackedMatrix, gain: float
) -> torch.Tensor:
    """Return c + gain * x @ matrix.

    Args:
        c: (n_out,) or (batch, n_out).
        x: (batch, n_in).
        matrix: (n_in, n_out), or what `prepare` made of it with the same gain.
    """
    if isinstance(matrix, PackedMatrix):
        return matrix.add_product(c, x)
    return torch.addmm(c, x, matrix, alpha=gain)


def prepare(matrix: torch.Tensor, rows: int, gain: float) -> torch.Tensor | PackedMatrix:
    """Pack a matrix (n_in, n_out) for products with `rows` rows, or return it as it is.

    A graph is never recorded through a packed matrix: with gradients enabled nothing is packed.
    """
    if torch.is_grad_enabled() or matrix.device.type != "cpu" or matrix.dtype != torch.float32:
        return matrix
    if not packing_pays(rows, *matrix.shape, torch.get_num_threads()):
        return matrix
    return PackedMatrix(matrix, rows, gain)


@functools.cache
def packing_pays(rows: int, n_in: int, n_out: int, threads: int) -> bool:
    """Measure, once per shape, whether the packed product is clearly faster than the plain one."""
    if n_in * n_out < SMALLEST_PACKED or not torch.backends.mkldnn.is_available():
        return False
    matrix = torch.zeros(n_out, n_in).t()
    c, x = torch.zeros(rows, n_out), torch.zeros(rows, n_in)
    try:
        packed = PackedMatrix(matrix, rows, 1.0)
        fast = shortest(lambda: packed.add_product(c, x))
        packing = shortest(lambda: PackedMatrix(matrix, rows, 1.0)) / STEPS_PER_PACK
    except (AttributeError, RuntimeError):  # a torch without these private calls
        return False
    return CLEAR_WIN * (fast + packing) < shortest(lambda: torch.addmm(c, x, matrix))


def shortest(function, repeats: int = 12) -> float:
    """Seconds of the fastest of several calls: what the call costs when nothing disturbs it."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best
