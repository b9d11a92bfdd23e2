"""Time an epoch of many directed networks at once against plain numpy, one after the other.

    python benchmarks/directed.py                       # 10 and 100 networks, DEEP
    python benchmarks/directed.py 50 --epochs 5 --method asymEP

The setting is that of the published notebook: XOR as one batch, 5 hidden neurons, T1 = T2 = 1000,
dt = 0.05, beta = 10. Our networks are trained for all epochs, because an epoch takes less time when
some have come to rest. At every tenth epoch a few plain networks are given the weights and states
of ours and timed in turn with them; both must agree afterwards, or the exit status is 1. The plain
networks already take the four patterns at once, as a matrix. N of them take N times as long as one.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from networks.directed import DEEP, AsymmetricEP  # noqa: E402
from networks.directedRules import learn_by_directed  # noqa: E402

SYSTEMS = {"DEEP": DEEP, "asymEP": AsymmetricEP}
XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGET = np.array([[0.0], [1.0], [1.0], [0.0]])
TARGETS = {10: 8.0, 100: 40.0}  # networks: speed-up to reach
EVERY = 10  # epochs between two looks at the plain networks
PLAIN_NETWORKS = 2  # of them each time
TOLERANCE = 1e-9
T1 = T2 = 1000
DT, BETA = 0.05, 10.0


class PlainNetwork:
    """One network, step by step; the inputs are the first `n_x` neurons."""

    def __init__(self, net, k):
        self.deep, self.n_x, self.dt_W = isinstance(net, DEEP), net.n_x, net.plasticity.dt_W
        self.W, self.mask = net.W[k].detach().numpy().copy(), net.mask.numpy()
        B = net.biases[0][k].detach().numpy()
        self.B = B.copy() if len(B) else np.zeros(len(self.W))

    def phase(self, S, steps, beta):
        """The state after a phase, and the trajectory rule's sum over steps and samples."""
        total = np.zeros_like(self.W)
        leak = self.W.sum(1) if self.deep else 1.0
        for _ in range(steps):
            F = S @ self.W + self.B - S * leak
            if beta:
                F[:, -1:] += beta * (TARGET - S[:, -1:])
            after = np.minimum(np.maximum(S + DT * F, 0.0), 1.0)
            after[:, : self.n_x] = S[:, : self.n_x]
            if beta and self.deep:
                total += after.T @ (after - S)
            S = after
        return S, total

    def epoch(self, start):
        """Teach the batch from the initial states (4, n_free)."""
        x = np.hstack([XOR, np.ones((4, 1))]) if self.deep else XOR
        free, _ = self.phase(np.hstack([x, start]), T1, 0.0)
        nudged, total = self.phase(free, T2, BETA)
        change = (nudged - free) / (BETA * len(x))
        dW = total / (T2 * len(x)) if self.deep else free.T @ change
        self.W = self.mask * (self.W + self.dt_W * dW)
        if not self.deep:
            self.B += self.dt_W * change.sum(0)


def initial_states(net, epoch):
    """(n_nets, 4, n_free), those that our network draws for the epoch."""
    return net.pack(net.initHidden(net.drive(torch.from_numpy(XOR)), epoch)).detach().numpy()


def learn(net, epoch):
    schedule = SimpleNamespace(T=T1, Kmax=T2, beta=BETA, epoch=epoch)
    learn_by_directed(net, torch.from_numpy(XOR), torch.from_numpy(TARGET), schedule)


def timed(function, *arguments):
    """Seconds of one call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def measure(method, n_nets, epochs):
    """(plain seconds of all networks, ours, their ratio), or None if the networks differ."""
    net = SYSTEMS[method](2, 5, 1, n_nets=n_nets, dt=DT)
    plain_seconds, our_seconds, errors = [], [], []
    for epoch in range(1, epochs + 1):
        plain = []
        if epoch % EVERY == 1:
            start = initial_states(net, epoch)
            plain = [PlainNetwork(net, k) for k in range(min(PLAIN_NETWORKS, n_nets))]
            plain_seconds += [timed(one.epoch, start[k]) for k, one in enumerate(plain)]
        our_seconds.append(timed(learn, net, epoch))
        for k, one in enumerate(plain):
            ours = net.W[k].detach().numpy()
            errors.append(np.abs(ours - one.W).max() / np.abs(one.W).max())
    print(
        f"{method}, {n_nets} networks: relative error of the weights {max(errors):.1e}", flush=True
    )
    if not max(errors) < TOLERANCE:
        return None
    plain_total = statistics.median(plain_seconds) * n_nets * epochs
    return plain_total, sum(our_seconds), plain_total / sum(our_seconds)


def positive_int(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def read_options():
    parser = argparse.ArgumentParser(
        description="Time batched directed networks against plain numpy.", allow_abbrev=False
    )
    parser.add_argument("networks", nargs="*", type=positive_int, metavar="N", help="10 100")
    parser.add_argument("--method", choices=list(SYSTEMS), default="DEEP")
    parser.add_argument(
        "--epochs", type=positive_int, default=200, metavar="N", help="default: 200"
    )
    parser.add_argument("--threads", type=positive_int, default=1, metavar="N", help="default: 1")
    return parser.parse_args()


def main():
    options = read_options()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {options.threads} threads")
    counts = options.networks or list(TARGETS)
    lines = {n: measure(options.method, n, options.epochs) for n in counts}
    print(f"\n{'networks':>8}{'plain s':>10}{'ours s':>10}{'ratio':>8}{'target':>8}")
    for n, line in lines.items():
        if line:
            target = TARGETS.get(n)
            verdict = "  missed" if target and line[2] < target else ""
            goal = f"{target:.0f}" if target else "-"
            print(f"{n:>8}{line[0]:>10.1f}{line[1]:>10.1f}{line[2]:>8.1f}{goal:>8}{verdict}")
    if None in lines.values():
        print("the networks differ: their time means nothing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
