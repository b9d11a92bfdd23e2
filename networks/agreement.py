"""What is said of how far EP's updates and BPTT's gradients agree, for readers without torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESTS = 0.01  # drift of a unit, in units of dS, below which the free phase counts as settled


class Agreement(NamedTuple):
    """How far EP's final update D and BPTT's gradient N agree on one weight matrix."""

    same_sign: float  # % of synapses with D N > 0
    both_zero: float  # % of synapses with D = N = 0
    cosine: float  # of the angle between D and N


class Settling(NamedTuple):
    """How the free phase ended: the theorem asks for a steady state K steps before its end."""

    residual: float  # largest change of any unit per unit of time at s(T-K)
    drift: float  # the same over |beta|: how much of dS it can be, which is the velocity over beta
    oscillating: float  # % of samples that go on with period 2

    @property
    def settled(self) -> bool:
        return self.drift < RESTS

    def arrays(self) -> dict[str, np.ndarray]:
        """For results.npz."""
        values = self._asdict() | {"settled": self.settled}
        return {name: np.array(value) for name, value in values.items()}

    def sentence(self, T: int | None) -> str:
        """What is said of it; T: the steps of the phase, None if it was relaxed."""
        state = "settled" if self.settled else "NOT settled (the theorem's condition)"
        how = f"after T {T}" if T else "by relaxing"
        text = f"free phase {state} {how}: largest change per unit of time {self.residual:.1e}"
        text += f", over beta {self.drift:.1e}"
        if self.oscillating:
            text += f"; {self.oscillating:.0f} % of the samples oscillate with period 2"
        return text
