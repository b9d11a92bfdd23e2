"""Time a training batch of the layer-skipping networks against a plain implementation.

    python benchmarks/smallWorld.py                           # all rows
    python benchmarks/smallWorld.py mnist_5layer_swni --repeats 10 --threads 1

The plain network keeps one matrix over all neurons, the data included, multiplies with it at every
step and forms a batch of outer products for the update, as the published program does. Both start
from the same weights and particles and must agree after one batch, or the exit status is 1. Random
images stand in for MNIST.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from netFunctions import Schedule  # noqa: E402
from networks.rules import learn_by_ep  # noqa: E402
from networks.smallWorld import SmallWorldEP  # noqa: E402
from networks.topology import wire_up  # noqa: E402

TOLERANCE = 2e-3  # largest relative error of the change of the weights, float32
FEW_STEPS = (30, 4)  # for the comparison: a long free phase may end anywhere, to rounding
SHARE_OF_INK = 0.19  # pixels of MNIST that are not 0


class Row(NamedTuple):
    size_tab: list[int]
    bypass_p: float
    T: int
    Kmax: int
    batch: int
    target: float  # plain time / our time to reach


ROWS = {
    "mnist_3layer_mlff": Row([10, 500, 500, 500, 784], 0.0, 500, 8, 20, 12),
    "mnist_3layer_swni": Row([10, 500, 500, 500, 784], 0.1, 500, 8, 20, 12),
    "mnist_5layer_mlff": Row([10, *[100] * 5, 784], 0.0, 1000, 12, 20, 12),
    "mnist_5layer_swni": Row([10, *[100] * 5, 784], 0.1, 1000, 12, 20, 12),
    "wine_5layer_swni": Row([3, *[10] * 5, 13], 0.1, 1000, 12, 5, 2),
    "diabetes_5layer_swni": Row([1, *[10] * 5, 10], 0.1, 1000, 12, 5, 2),
}


class PlainNetwork:
    """One symmetric matrix over all neurons, output first, the data last."""

    def __init__(self, net: SmallWorldEP, dt: float = 0.5):
        self.W, self.mask = net.matrix(), net.adjacency().float()
        self.n_out, self.n_state, self.dt = net.size_tab[0], net.n_state, dt
        self.b = torch.zeros(len(self.W))

    def step(self, s, target=None, beta=0.0):
        change = s.clamp(0, 1) @ self.W + self.b - s.clamp(0, 1)
        change[:, self.n_state :] = 0
        s = s + self.dt * change
        if target is not None:
            s[:, : self.n_out] += 2 * self.dt * beta * (target - s[:, : self.n_out])
        return s.clamp(0, 1)

    def teach(self, x, target, s, T, Kmax, beta, rate):
        """One batch from the particle s (batch, H); the free state is the next particle."""
        s = torch.cat([s, x], 1)
        for _ in range(T):
            s = self.step(s)
        free = s
        for _ in range(Kmax):
            s = self.step(s, target, beta)
        outer = [torch.bmm(v.unsqueeze(2), v.unsqueeze(1)) for v in (s, free)]
        self.W = self.W + rate * self.mask * (outer[0] - outer[1]).mean(0) / beta
        change = (s - free).mean(0) / beta
        change[self.n_state :] = 0
        self.b = self.b + rate * change
        return free[:, : self.n_state]


def batches(row, n, seed=0):
    """Sparse data (n, batch, n_x) and one-hot targets (n, batch, n_out)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n, row.batch, row.size_tab[-1])
    x = torch.rand(shape, generator=generator)
    x = x * (torch.rand(shape, generator=generator) < SHARE_OF_INK) if shape[2] > 100 else x
    labels = torch.randint(row.size_tab[0], (n, row.batch), generator=generator)
    return x, torch.nn.functional.one_hot(labels, row.size_tab[0]).float()


def compare(row, net, plain):
    """Relative error of the change of the weights by one batch of few steps."""
    (x,), (y,) = batches(row, 1, seed=1)
    before, T, Kmax = net.matrix(), *FEW_STEPS
    plan = Schedule(T, Kmax, 1.0, [0.02] * net.n_layers)
    learn_by_ep(net, x, y, plan)
    plain.teach(x, y, torch.zeros(len(x), net.n_state), T, Kmax, 1.0, 0.02)
    ours, theirs = net.matrix() - before, plain.W - before
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def measure(name, options):
    """Compare and time one row; return its line of the table, or None if the networks differ."""
    row = ROWS[name]
    net = SmallWorldEP(wire_up(row.size_tab, row.bypass_p))
    plain = PlainNetwork(net)
    error = compare(row, net, plain)
    print(f"{name}: relative error of the change of the weights {error:.1e}", flush=True)
    if not error <= TOLERANCE:
        return None
    x, y = batches(row, options.repeats + 1)
    plan = Schedule(row.T, row.Kmax, 1.0, [0.02] * net.n_layers)
    start = torch.rand(row.batch, net.n_state)
    layers = list(start.split(row.size_tab[:-1], 1))
    times = []
    for k in range(options.repeats + 1):
        begun = time.perf_counter()
        plain.teach(x[k], y[k], start, row.T, row.Kmax, 1.0, 0.02)
        between = time.perf_counter()
        learn_by_ep(net, x[k], y[k], plan, layers)
        times.append((between - begun, time.perf_counter() - between))
    ratio = statistics.median(a / b for a, b in times[1:])
    return (name, *map(statistics.median, zip(*times[1:], strict=True)), ratio, row.target)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="timed batches")
    parser.add_argument("--threads", type=int, metavar="N", help="default: torch's choice")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown or options.repeats < 1:
        parser.error(f"rows are {', '.join(ROWS)}, repeats at least 1")
    return options


def main():
    options = read_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    lines = [measure(name, options) for name in options.rows or ROWS]
    print(f"\n{'row':<22}{'plain ms':>10}{'ours ms':>10}{'ratio':>8}{'target':>8}")
    for name, plain, ours, ratio, target in filter(None, lines):
        verdict = "" if ratio >= target else "  missed"
        print(f"{name:<22}{1e3 * plain:>10.1f}{1e3 * ours:>10.1f}{ratio:>8.1f}{target:>8}{verdict}")
    return 1 if None in lines else 0


if __name__ == "__main__":
    with torch.no_grad():
        sys.exit(main())
