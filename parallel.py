"""Data-parallel training: several processes teach one network, each with its share of a batch.

    torchrun --nproc-per-node 2 main.py --dataset digits --epochs 10

Every process holds the whole network and the data. Of each batch it runs its own rows, and what
the rule makes of them is averaged over all processes before the weights change: EP's update is a
mean over the batch, so this is exact. Random numbers are drawn for the whole batch by everybody,
and cut. What a process does alone is done with `ALONE`, where all of this is nothing.

A process has one thread where a step is so short that threads would spend their time waiting for
each other; and where another program has one of the cores, every step waits until that one is moved
aside. On two cores two threads made the steps of small networks hardly faster, and beside one other
program some 70 times slower.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from errors import LostProcess
from process import launched

Layers = list[torch.Tensor] | None
Values = dict[str, torch.Tensor]
WORST = "_worst"  # ends the name of a measure that is the largest over the samples


class Team:
    """The processes that train together, as one of them sees them.

    rank: of this process, from 0 on; the first one writes. size: how many there are.
    rows: of the batch under way, those of this process. whole: samples of that batch.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.rows, self.whole = slice(None), 0

    @property
    def alone(self) -> bool:
        return self.size == 1

    # The batch under way ------------------------------------------------------------------------

    def share(self, n: int) -> slice:
        """Which of n things are this process's; the first processes have one more if needed."""
        least, more = divmod(n, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def deal(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Take up a batch, tensors (batch, ...); return the rows of this process."""
        if self.alone:
            return tensors
        self.whole = len(tensors[0])
        self.rows = self.share(self.whole)
        return tuple(v[self.rows] for v in tensors)

    def whole_shape(self, shape: Sequence[int], axis: int = 0) -> list[int]:
        """The shape for the whole batch of a tensor that has `shape` here; `axis`: the samples'."""
        whole = list(shape)
        if not self.alone:
            whole[axis] = self.whole
        return whole

    def cut(self, tensor: torch.Tensor, axis: int = 0) -> torch.Tensor:
        """The samples of this process in a tensor of the whole batch."""
        if self.alone:
            return tensor
        return tensor.narrow(axis, self.rows.start, self.rows.stop - self.rows.start)

    @property
    def weight(self) -> float:
        """Share of the batch under way that this process has."""
        return 1.0 if self.alone else (self.rows.stop - self.rows.start) / self.whole

    # What the processes tell each other -----------------------------------------------------------

    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        """Mean over all samples, in place, of tensors that are means over the samples here."""
        if not self.alone:
            tensors = list(tensors)
            torch._foreach_mul_(tensors, self.weight)
            self.add_up(tensors)

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Sum over the processes, in place: one message for all the tensors."""
        if self.alone:
            return
        flat = self.total(torch.cat([v.flatten() for v in tensors]))
        parts = flat.split([v.numel() for v in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum over the processes; no gradient goes through it."""
        return self.reduced(tensor, dist.ReduceOp.SUM)

    def highest(self, tensor: torch.Tensor) -> torch.Tensor:
        """Largest value over the processes, element by element."""
        return self.reduced(tensor, dist.ReduceOp.MAX)

    def reduced(self, tensor: torch.Tensor, operation: dist.ReduceOp) -> torch.Tensor:
        if self.alone:
            return tensor
        result = tensor.detach().clone(memory_format=torch.contiguous_format)
        try:
            dist.all_reduce(result, operation)
        except RuntimeError as error:
            raise LostProcess("another process of this job has ended") from error
        return result

    def pool(self, sums: Values, means: Values, signal_number: int) -> tuple[Values, int]:
        """The numbers of a batch, by name, for all of its samples; and the signal to stop.

        Args:
            sums, means: over the samples of this process; of a mean whose name ends in WORST the
                largest value counts.
            signal_number: that this process has got; 0 for none.
        Returns:
            The signal is not 0 if any process has got one.
        """
        if self.alone:
            return sums | means, signal_number
        values = sums | means
        parts = [v.double().flatten() for v in sums.values()]
        parts += [self.placed(name, v.double().flatten()) for name, v in means.items()]
        parts.append(parts[0].new_tensor([signal_number > 0]))
        *parts, stopped = self.total(torch.cat(parts)).split([len(v) for v in parts])
        pooled = {}
        for (name, v), part in zip(values.items(), parts, strict=True):
            if name in means and name.endswith(WORST):
                part = part.view(self.size, -1).amax(0)
            part = part if v.is_floating_point() else part.round()
            pooled[name] = part.to(v.dtype).view_as(v)
        return pooled, (signal_number or signal.SIGTERM) if stopped else 0

    def placed(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """What a measure of this process adds to the sum over all: of a worst one, a row of it."""
        if not name.endswith(WORST):
            return values * self.weight
        rows = values.new_zeros(self.size, len(values))
        rows[self.rank] = values
        return rows.flatten()

    def first_says(self, flag: bool, device: torch.device) -> bool:
        """What the first process says, for everybody."""
        if self.alone:
            return flag
        return bool(self.total(torch.tensor(flag and self.rank == 0, device=device).int()))

    def first_path(self, make: Callable[[], Path]) -> Path:
        """The path that `make` returns to the first process, who alone calls it, for everybody.

        Raises:
            LostProcess: to the others, if it fails.
        """
        if self.alone:
            return make()
        box = [None]
        try:
            if self.rank == 0:
                box[0] = str(make())
        finally:
            dist.broadcast_object_list(box, src=0)
        if box[0] is None:
            raise LostProcess("the first process of this job could not make a result folder")
        return Path(box[0])

    # What a process stores of every batch ---------------------------------------------------------

    def stored_span(self, k: int, batch_size: int) -> slice:
        """Where the rows of batch k are in what this process stores."""
        own = self.share(batch_size)
        n = own.stop - own.start
        return slice(k * n, (k + 1) * n)

    def n_stored(self, n: int, batch_size: int) -> int:
        """How many samples this process stores in a pass over n."""
        whole, last = divmod(n, batch_size)
        own, own_last = self.share(batch_size), self.share(last)
        return whole * (own.stop - own.start) + own_last.stop - own_last.start

    def places(self, n: int, batch_size: int) -> torch.Tensor:
        """The places, in a pass over n samples, of what this process stores."""
        spans = [range(a, min(a + batch_size, n)) for a in range(0, n, batch_size)]
        own = [torch.tensor(span[self.share(len(span))]) for span in spans]
        return torch.cat(own)

    def joined(self, stored: Layers, n: int, batch_size: int) -> Layers:
        """What all processes store, in the order of a pass over n samples."""
        if self.alone or stored is None:
            return stored
        places, found = self.places(n, batch_size).to(stored[0].device), []
        for own in stored:
            whole = own.new_zeros(n, *own.shape[1:])
            whole[places] = own
            found.append(self.total(whole))
        return found

    def own_part(self, layers: Layers, batch_size: int) -> Layers:
        """The reverse of `joined`."""
        if self.alone or layers is None:
            return layers
        places = self.places(len(layers[0]), batch_size).to(layers[0].device)
        return [v[places] for v in layers]


ALONE = Team()


class Summed(torch.autograd.Function):
    """Sum over the processes, through which gradients go: each gets the sum of all of them."""

    @staticmethod
    def forward(ctx, tensor: torch.Tensor, team: Team) -> torch.Tensor:
        ctx.team = team
        return team.total(tensor)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.team.total(gradient), None


def join(net: nn.Module, team: Team) -> None:
    """Let a network, and every layer of it, know whom it is taught with."""
    for module in net.modules():
        module.team = team


def form_team(device: torch.device) -> Team:
    """Meet the other processes that torchrun has started; `ALONE` without it."""
    if not launched():
        return ALONE
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    size = dist.get_world_size()
    return Team(dist.get_rank(), size) if size > 1 else ALONE


def part() -> None:
    """Take leave of the other processes, at the end."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


# Threads -----------------------------------------------------------------------------------------

WORTH_SHARING = 1e7  # multiplications, about a quarter of a millisecond of one core
LOAD = Path("/proc/loadavg")  # of Linux: "0.1 0.2 0.3 2/345 6789", the 2 counts what runs right now
LOOKS, PAUSE = 4, 0.02  # seconds between two looks


def threads_for(multiplications: float) -> int:
    """1 where a step is too short to share, else 0: torch's choice.

    Decided by sizes alone and not by the clock, so that a run can be repeated to the bit.
    """
    return 1 if multiplications < WORTH_SHARING else 0


def crowded(threads: int, load: Path = LOAD) -> str:
    """A sentence if other programs leave too few cores for so many threads, else nothing."""
    if threads == 1:  # it waits for nobody
        return ""
    cores, busy = os.cpu_count() or 1, busy_cores(load)
    if not busy or threads + busy <= cores:
        return ""
    return (
        f"note: other programs keep {min(busy, cores)} of the {cores} cores busy, and {threads} "
        "threads wait for each other at every step: --threads 1 may be many times faster"
    )


def busy_cores(load: Path = LOAD) -> int:
    """Cores that other programs keep busy just now, 0 where the system does not tell."""
    counts = []
    for _ in range(LOOKS):
        try:
            counts.append(int(load.read_text().split()[3].partition("/")[0]))
        except (OSError, IndexError, ValueError):
            return 0
        time.sleep(PAUSE)
    return max(0, min(counts) - 1)  # this program is one of them
