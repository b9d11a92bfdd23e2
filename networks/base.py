"""What training needs of a network, whatever it computes with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from networks.losses import LOSSES, Squared
from networks.noise import QUIET, Noise
from networks.optimisers import Optimizer, make_optimizer
from networks.rules import Rule
from networks.schedule import Schedule, Tensors
from parallel import ALONE, Team
from process import NEVER, StopRequest


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
