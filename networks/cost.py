"""What learning costs, whatever the machine: passes through all weights per sample.

with Products() as products:
    EP.learn(net, data, target, schedule)
passes(net, products.total, len(data))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from networks.base import Network

COUNT_EVERY = 50  # batches, at least, between two that are counted: a counted one takes longer

aten = torch.ops.aten


def of_product(which: int) -> Callable[..., int]:
    """Multiply-adds of a matrix product, whose left factor is argument `which`."""
    return lambda out, args: out.numel() * args[which].shape[-1]


def of_convolution(out: torch.Tensor, args: tuple) -> int:
    """Multiply-adds of a convolution of args (x, kernel, bias, stride, padding, ...)."""
    values = args[0] if args[6] else out  # transposed, each input is spread by the whole kernel
    return values.numel() * args[1][0].numel()


def of_convolution_backward(out: Any, args: tuple) -> int:
    """The same of its way back: once for the input and once for the kernel, if asked for."""
    pushed, x, kernel, transposed, asked = (args[i] for i in (0, 1, 2, 7, 10))
    values = x if transposed else pushed
    return values.numel() * kernel[0].numel() * sum(asked[:2])


PRODUCTS: dict[Any, Callable[[Any, tuple], int]] = {
    aten.mv: of_product(0),
    aten.mm: of_product(0),
    aten.bmm: of_product(0),
    aten.addmm: of_product(1),
    aten.addmm_: of_product(1),
    aten.baddbmm: of_product(1),
    aten.baddbmm_: of_product(1),
    aten.convolution: of_convolution,
    aten.convolution_backward: of_convolution_backward,
}


class Products(TorchDispatchMode):
    """Counts the multiply-adds of all matrix products and convolutions computed under it.

    Those of the way back through a graph, too. What is computed is the same to the bit. It looks at
    shapes alone: no GPU waits. torch's own FlopCounterMode leaves out products in place, and fails
    where a phase is called as a module. A step of torch.compile cannot be seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def watched(self, func, types, args=(), kwargs=None):
        """Do what torch is about to do, and count it."""
        out = func(*args, **(kwargs or {}))
        count = PRODUCTS.get(func.overloadpacket)
        if count is not None:
            self.total += count(out, args)
        return out


# Not in the class: there torch would wrap it in a function that loads its compiler, for seconds.
Products.__torch_dispatch__ = Products.watched


def is_counted(epoch: int, n_batches: int) -> bool:
    """Whether the first batch of an epoch, from 1 on, is counted: one in `COUNT_EVERY` batches.

    That is every epoch of so many batches or more, and always the first.
    """
    done = (epoch - 1) * n_batches
    return math.ceil(done / COUNT_EVERY) * COUNT_EVERY < done + n_batches


def passes(net: Network, products: int, n: int) -> float:
    """Passes through all weights per sample that so many multiply-adds for n samples are.

    A pass is `Network.multiplications`, one use of every weight. The products of the rule, which
    change the weights, count as those that use them.
    """
    return round(products / n / net.multiplications, 4)
