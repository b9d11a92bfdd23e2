"""Noise of the hardware: in every state, anew, and in every weight, for good.

net.noise = Noise(state=0.04, weight=0.1, seed=0)
with net.noise.during(net.devices, 17):  # all that is random follows from the seed and 17
    net.rules["EP"].learn(net, data, target, schedule, None)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch

STATES, WEIGHTS = range(2)  # what random numbers are for


class Noise:
    """What a network is disturbed by while a batch is taught or tested, and only then.

    state: standard deviation of the Gaussian noise that is added to every unit in every step or
        sweep of a phase, of feedforward nets in every pass. What bounds the units bounds the sum.
    weight: of the mismatch xi of the devices, drawn once for each weight: a weight w that is
        learnt acts as w (1 + weight xi). A weight that serves both directions is one device.
        The rule changes w by what the states show, and does not know xi.
    seed: of both. Neither takes random numbers from anything else.
    """

    def __init__(self, state: float = 0.0, weight: float = 0.0, seed: int = 0) -> None:
        self.state, self.weight, self.seed = state, weight, seed
        self.key: tuple[int, ...] | None = None  # of the batch under way
        self.generator: torch.Generator | None = None
        self.factors: list[torch.Tensor] = []  # 1 + weight xi, per weight
        self.learnt: list[tuple[torch.nn.Parameter, torch.Tensor]] = []  # w, while others act

    @property
    def shakes(self) -> bool:
        """Whether there is noise in the states just now."""
        return self.key is not None and self.state > 0

    def drawn(self, like: torch.Tensor) -> torch.Tensor:
        """New noise of the shape, type and device of a tensor."""
        if self.generator is None:
            number = seeded(self.seed, STATES, *self.key)
            self.generator = torch.Generator(like.device).manual_seed(number)
        return torch.empty_like(like).normal_(0.0, self.state, generator=self.generator)

    @contextlib.contextmanager
    def during(self, devices: Sequence[torch.nn.Parameter], *key: int) -> Iterator[None]:
        """Around a batch: the states are noisy, and the weights act as their devices make them.

        Args:
            devices: the weights, always the same ones.
            key: of the batch; the same key is the same noise.
        """
        self.key, self.generator = key, None
        if self.weight:
            self.learnt = [(parameter, parameter.data) for parameter in devices]
        self.lay()
        try:
            yield
        finally:
            self.lift()
            self.learnt, self.key = [], None

    @contextlib.contextmanager
    def clean(self) -> Iterator[None]:
        """Around an update: the weights are what has been learnt, and that is changed."""
        self.lift()
        yield
        self.lay()

    def lay(self) -> None:
        if self.learnt and not self.factors:
            generator = torch.Generator().manual_seed(seeded(self.seed, WEIGHTS))
            for parameter, _ in self.learnt:
                xi = torch.randn(parameter.shape, generator=generator)
                self.factors.append((1 + self.weight * xi).to(parameter))
        for (parameter, value), factor in zip(self.learnt, self.factors, strict=False):
            parameter.data = value * factor

    def lift(self) -> None:
        for parameter, value in self.learnt:
            parameter.data = value


def seeded(*numbers: int) -> int:
    """A seed that depends on all the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


QUIET = Noise()
