"""Time a training batch by the plain twin, by the published steps and by relaxing, side by side.

    python benchmarks/relaxing.py                                  # random images, fresh weights
    python benchmarks/relaxing.py P-2h EB-1h --data-dir data --warm-up 500

A batch has 20 samples and one thread; the three take turns on the same batches with the same
weights; of each batch the best of `--repeats` counts. Times are of this process alone (CPU time),
so that other programs disturb them less. Under "products" is what the matrix products and
convolutions of the relaxed batch take by themselves: with as many sweeps nothing can be faster.
Fresh weights and random images come to rest sooner than a network that learns: with MNIST and
--warm-up the sweeps are those of real training.
"""

import argparse
import dataclasses
import functools
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import smallWorld  # noqa: E402
import training  # noqa: E402

from datasets import Split, load_dataset  # noqa: E402
from networks.phases import free_phase, nudged_phase  # noqa: E402
from networks.rules import EP  # noqa: E402
from networks.schedule import Schedule  # noqa: E402
from networks.smallWorld import SmallWorldEP  # noqa: E402
from networks.topology import wire_up  # noqa: E402

BATCH_SIZE = 20
STORED = 200  # batches that the warm-up goes through in turn
NO_RATE = 1e-12  # the update is made, but leaves the weights as they are


class Row(NamedTuple):
    name: str
    build: object  # () -> network
    plain: object  # network -> function (data, target, schedule, start) that teaches a batch
    schedule: Schedule
    flatten: bool
    target: float  # plain time / relaxed time to reach
    both: bool = False  # signs of the nudge, where it is relaxed, as the row's preset has it


def layered(name, target, both=False):
    row = training.ROWS[name]

    def plain_of(net):
        plain = row.plain()
        for module, (weight, bias) in zip(plain.w, net.synapses, strict=True):
            module.weight.data.copy_(weight.data)
            module.bias.data.copy_(bias.data)
        return lambda x, y, plan, start: training.learn_plain(plain, "EP", x, y, plan)

    ours = functools.partial(row.ours, seed=0)
    return Row(name, ours, plain_of, row.schedule, row.flatten, target, both)


def skipping(name, preset, rate, target):
    row = smallWorld.ROWS[preset]
    rates = [rate] * (len(row.size_tab) - 1)
    schedule = Schedule(row.T, row.Kmax, 1.0, rates, persistent=True)

    def plain_of(net):
        plain = smallWorld.PlainNetwork(net)

        def teach(x, y, plan, start):
            start = torch.cat(list(start), 1)
            plain.teach(x, y, start, plan.T, plan.Kmax, plan.beta, plan.lr_tab[0])

        return teach

    def build():
        return SmallWorldEP(wire_up(row.size_tab, row.bypass_p))

    return Row(name, build, plain_of, schedule, True, target)


ROWS = {
    row.name: row
    for row in (
        *(layered(*pair) for pair in (("P-1h", 16), ("P-2h", 9), ("P-3h", 8))),
        *(layered(*pair) for pair in (("EB-1h", 18), ("EB-2h", 16), ("P-conv", 12, True))),
        skipping("5x100", "mnist_5layer_swni", 0.015, 120),
        skipping("3x500", "mnist_3layer_swni", 0.02, 60),
    )
}


def batches_of(options, flatten):
    """The first batches of MNIST, or of random images: [(data, one-hot target)]."""
    if options.data_dir:
        split = load_dataset("mnist", options.data_dir).train
    else:
        images, labels = training.random_images(BATCH_SIZE * STORED)
        images, labels = torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)
        split = Split(images, labels, 10, 255.0)
    found = []
    for data, target in split.batches(BATCH_SIZE):
        found.append((data.flatten(1) if flatten else data, target))
        if len(found) == STORED:
            return found
    return found


def warm_up(net, batches, plan, n):
    """Teach n batches; return the state in which each batch ended, None before its first time."""
    states = [None] * len(batches)
    for k in range(n):
        which = k % len(batches)
        start = states[which] if plan.persistent else None
        states[which] = EP.learn(net, *batches[which], plan, start).state
    return states


class Products(TorchDispatchMode):
    """Keeps every matrix product and convolution that is computed under it, to do them again."""

    NAMES = ("mm", "addmm", "addmm_", "convolution", "convolution_backward")

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.NAMES:
            self.calls.append(functools.partial(func, *args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))

    def again(self):
        for call in self.calls:
            call()


def timed(function):
    """Milliseconds of this process that a call takes."""
    start = time.process_time()
    function()
    return 1e3 * (time.process_time() - start)


def lengths(net, data, target, plan, start):
    """Sweeps (or steps) of the free and of the nudged phase, mean over the samples."""
    drive = net.drive(data)
    free = free_phase(net, drive, start or net.initHidden(drive), plan)
    nudged = nudged_phase(net, drive, free.state, plan, target)
    return [torch.as_tensor(phase.sweeps).double().mean().item() for phase in (free, nudged)]


def measure(row, options):
    """Print the line of a row."""
    batches = batches_of(options, row.flatten)
    step = row.schedule
    relax = dataclasses.replace(step, solver="relax", nudged=options.nudged, both_signs=row.both)
    net = row.build()
    states = warm_up(net, batches, relax, options.warm_up)
    plain = row.plain(net)
    still = {"lr_tab": [NO_RATE] * len(step.lr_tab)}
    step, relax = (dataclasses.replace(plan, **still) for plan in (step, relax))
    times, found = [], []
    for (x, y), start in list(zip(batches, states, strict=True))[: options.batches]:
        if start is None and step.persistent:
            start = net.initHidden(net.drive(x))
        start = start if step.persistent else None
        turns = (
            functools.partial(plain, x, y, step, start),
            functools.partial(EP.learn, net, x, y, step, start),
            functools.partial(EP.learn, net, x, y, relax, start),
        )
        with Products() as products:
            turns[-1]()
        turns = (*turns, products.again)
        rounds = [[timed(turn) for turn in turns] for _ in range(options.repeats)]
        times.append([min(column) for column in zip(*rounds, strict=True)])
        found.append(lengths(net, x, y, relax, start))
    best = [sum(column) / len(times) for column in zip(*times, strict=True)]
    free, nudged = (sum(column) / len(found) for column in zip(*found, strict=True))
    ratio = best[0] / best[2]
    print(
        f"{row.name:<8}{best[0]:>9.1f}{best[1]:>9.2f}{best[2]:>9.2f}{best[3]:>9.2f}"
        f"{free:>7.1f}{nudged:>8.1f}"
        f"{best[0] / best[1]:>8.1f}{ratio:>8.1f}{row.target:>8}"
        f"{'' if ratio >= row.target else '  missed'}",
        flush=True,
    )


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--batches", type=int, default=3, metavar="N", help="that are timed")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="the best one counts")
    parser.add_argument("--data-dir", metavar="DIR", help="where MNIST is (default: random images)")
    parser.add_argument("--warm-up", type=int, default=0, metavar="BATCHES", help="taught before")
    parser.add_argument("--nudged", default="", choices=["", "step", "relax"], help="of relax")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown or min(options.repeats, options.batches) < 1 or options.warm_up < 0:
        parser.error(
            f"rows are {', '.join(ROWS)}; at least one repeat and batch, no negative warm-up"
        )
    return options


def main():
    options = read_options()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, one thread, batches of {BATCH_SIZE}, CPU ms per batch")
    print(
        f"{'row':<8}{'plain':>9}{'step':>9}{'relax':>9}{'products':>9}{'free':>7}{'nudged':>8}"
        f"{'p/step':>8}{'p/relax':>8}{'target':>8}"
    )
    for name in options.rows or ROWS:
        measure(ROWS[name], options)


if __name__ == "__main__":
    with torch.no_grad():
        main()
