"""Time a training batch of the fast networks against the plain ones, row by row of Table 1.

    python benchmarks/training.py                            # all rows, EP and BPTT
    python benchmarks/training.py EB-1h P-2h --method EP --repeats 30
    python benchmarks/training.py EB-1h --compile

Both networks start from the same weights and must agree after one batch, or the exit status is 1.
Then their batches are timed in turn (plain, ours, plain, ours, ...), so that whatever else the
machine does hits both. A batch is fetching the data and teaching the network. Random images with
the sparsity of MNIST stand in for the data set: the time does not depend on what they show.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plain import PlainConvEP, PlainEPcont, PlainEPdisc, plain_loader  # noqa: E402

from datasets import Split  # noqa: E402
from netClasses import EPcont, EPdisc  # noqa: E402
from netFunctions import Schedule  # noqa: E402
from networks.conv import convEP  # noqa: E402

BATCH_SIZE = 20
FEW_STEPS = (3, 2)  # free and nudged, far from equilibrium
SHARE_OF_INK = 0.19  # pixels of MNIST that are not 0
TOLERANCE = 2e-4  # states and weights, float32
# A batch moves the weights of P-3h by 0.3 %, so the weights alone would hide an update that is 7 %
# wrong. EP's update is a small difference of large sums: rounding shows in it more.
TOLERANCE_CHANGE = 2e-3


@dataclass(frozen=True)
class Row:
    """A row of Table 1: its two networks, the settings they learn with, the speed-up to reach.

    target: plain time / our time by EP (by BPTT: half of it); target_compiled: with --compile.
    """

    plain: Callable
    ours: Callable
    schedule: Schedule
    target: float
    target_compiled: float
    flatten: bool = True


def energy_based(sizes, target, target_compiled=None, **schedule):
    plain = partial(PlainEPcont, sizes, "sigm", dt=0.2, clamp=True)
    ours = partial(EPcont, sizes, "sigm", dt=0.2, clamp=True)
    return Row(plain, ours, Schedule(**schedule), target, target_compiled or target)


def prototypical(sizes, target, **schedule):
    plain, ours = (partial(net, sizes, "sigm", dt=1.0) for net in (PlainEPdisc, EPdisc))
    return Row(plain, ours, Schedule(**schedule), target, target)


def convolutional(size_tab, C_tab, target, **schedule):
    plain = partial(PlainConvEP, size_tab, C_tab, 28, "hardsigm", Fconv=5, Fpool=2)
    ours = partial(convEP, size_tab, C_tab, (28, 28), "hardsigm", Fconv=5, Fpool=2)
    return Row(plain, ours, Schedule(**schedule), target, target, flatten=False)


ROWS = {
    "EB-1h": energy_based(
        [10, 512, 784], 7, target_compiled=11, T=100, Kmax=12, beta=0.5, lr_tab=[0.05, 0.1]
    ),
    "EB-2h": energy_based(
        [10, 512, 512, 784], 4, T=400, Kmax=40, beta=0.5, lr_tab=[0.01, 0.1, 0.4]
    ),
    "P-1h": prototypical([10, 512, 784], 5, T=40, Kmax=15, beta=0.1, lr_tab=[0.04, 0.08]),
    "P-2h": prototypical(
        [10, 512, 512, 784], 4, T=100, Kmax=20, beta=0.5, lr_tab=[0.005, 0.05, 0.2]
    ),
    "P-3h": prototypical(
        [10, 512, 512, 512, 784], 4, T=180, Kmax=20, beta=0.5, lr_tab=[0.002, 0.01, 0.05, 0.2]
    ),
    "P-conv": convolutional(
        [10], [64, 32, 1], 2.4, T=200, Kmax=10, beta=0.4, lr_tab=[0.015, 0.035, 0.15]
    ),
}


def random_images(n, seed=0):
    """Sparse uint8 images (n, 28, 28) and labels (n,), int64."""
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 256, (n, 28, 28)) * (rng.random((n, 28, 28)) < SHARE_OF_INK)
    return images.astype(np.uint8), rng.integers(0, 10, n)


def build(row, compiled):
    """The plain and our network of a row, with the same weights."""
    plain, ours = row.plain(), row.ours(seed=0)
    for module, (weight, bias) in zip(plain.w, ours.synapses, strict=True):
        module.weight.data.copy_(weight.data)
        module.bias.data.copy_(bias.data)
    if compiled:
        ours.compile_steps()
    return plain, ours


def learn_plain(plain, method, data, target, schedule):
    lengths = (schedule.T, schedule.Kmax)
    if method == "EP":
        plain.ep_update(data, target, *lengths, schedule.beta, schedule.lr_tab)
    else:
        plain.bptt_update(data, target, *lengths, schedule.lr_tab)


def relative_error(ours, plain):
    """Largest over pairs of tensors of max|a - b| / max|b|."""
    return max(
        ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item()
        for a, b in zip(ours, plain, strict=True)
    )


@torch.no_grad()
def compare_states(row, plain, ours, data_plain, target, data):
    """Relative error of the states at the end of both phases, run in full and for a few steps.

    At the fixed point the way there is forgotten, a wrong dt for one: the few steps show it.
    """
    drive, beta, errors = ours.drive(data), row.schedule.beta, []
    for T, Kmax in ((row.schedule.T, row.schedule.Kmax), FEW_STEPS):
        s_plain = plain.free(data_plain, plain.init_hidden(len(data_plain)), T)
        n_plain = plain.nudged(data_plain, s_plain, Kmax, target, beta)
        s_ours = ours(drive, ours.initHidden(drive), T)
        n_ours = ours(drive, s_ours, Kmax, target, beta)
        for a, b in ((s_ours, s_plain), (n_ours, n_plain)):
            errors.append(relative_error(a, plain.layers(b)))
    return max(errors)


def compare(row, method, plain, ours, plain_batches, our_batches):
    """Teach both one batch; relative errors of states, weights, and the changes of the weights."""
    (data_plain, target), (data, our_target) = next(plain_batches), next(our_batches)
    states = compare_states(row, plain, ours, data_plain, target, data)
    before = [p.detach().clone() for pair in ours.synapses for p in pair]
    learn_plain(plain, method, data_plain, target, row.schedule)
    ours.rules[method].learn(ours, data, our_target, row.schedule)
    after_ours = [p.detach() for pair in ours.synapses for p in pair]
    after_plain = [p.detach() for w in plain.w for p in (w.weight, w.bias)]
    changes = ([a - b for a, b in zip(x, before, strict=True)] for x in (after_ours, after_plain))
    return states, relative_error(after_ours, after_plain), relative_error(*changes)


def measure(name, method, options):
    """Compare and time one row; return its line of the table, or None if the networks differ."""
    row = ROWS[name]
    images, labels = random_images(BATCH_SIZE * (options.repeats + 2))
    split = Split(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels), 10, 255.0)
    plain_batches = iter(plain_loader(images, labels, BATCH_SIZE, row.flatten))
    our_batches = split.batches(BATCH_SIZE)
    plain, ours = build(row, options.compile)

    errors = compare(row, method, plain, ours, plain_batches, our_batches)
    labelled = zip(("states", "weights", "changes"), errors, strict=True)
    print(
        f"{name} {method}: relative error", *(f"{what} {e:.1e}" for what, e in labelled), flush=True
    )
    limits = (TOLERANCE, TOLERANCE, TOLERANCE_CHANGE)
    if not all(error <= limit for error, limit in zip(errors, limits, strict=True)):
        return None

    def plain_batch():
        learn_plain(plain, method, *next(plain_batches), row.schedule)

    def our_batch():
        ours.rules[method].learn(ours, *next(our_batches), row.schedule)

    times = [(timed(plain_batch), timed(our_batch)) for _ in range(options.repeats + 1)][1:]
    ratio = statistics.median(a / b for a, b in times)
    target = row.target_compiled if options.compile else row.target
    return (
        name,
        method,
        *map(statistics.median, zip(*times, strict=True)),
        ratio,
        (target if method == "EP" else target / 2),
    )


def timed(function):
    """Milliseconds of one call."""
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def print_table(lines):
    print(f"\n{'row':<8}{'method':<8}{'plain ms':>10}{'ours ms':>10}{'ratio':>8}{'target':>8}")
    for name, method, plain, ours, ratio, target in lines:
        verdict = "" if ratio >= target else "  missed"
        print(
            f"{name:<8}{method:<8}{plain:>10.1f}{ours:>10.2f}{ratio:>8.2f}{target:>8.1f}{verdict}"
        )


def positive_int(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def read_options():
    parser = argparse.ArgumentParser(
        description="Time a training batch of the fast networks against the plain ones.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)"
    )
    parser.add_argument("--method", choices=["EP", "BPTT", "both"], default="both")
    parser.add_argument(
        "--repeats", type=positive_int, default=15, metavar="N", help="timed batches"
    )
    parser.add_argument("--compile", action="store_true", help="hand our step to torch.compile")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="default: torch's choice")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}: choose from {', '.join(ROWS)}")
    return options


def main():
    options = read_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    methods = ["EP", "BPTT"] if options.method == "both" else [options.method]
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, batches of {BATCH_SIZE}, "
        f"median of {options.repeats}{', compiled' if options.compile else ''}"
    )
    names = options.rows or list(ROWS)
    lines = [measure(name, method, options) for name in names for method in methods]
    print_table(line for line in lines if line)
    if None in lines:
        print("the networks of a row differ: its time means nothing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
