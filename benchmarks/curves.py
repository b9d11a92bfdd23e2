"""Time the two processes of `--action plotcurves` against the plain way to get them.

    python benchmarks/curves.py                 # all rows
    python benchmarks/curves.py fig2 P-1h

The plain way is that of the published program: the whole free phase once more for every t, with a
graph over its last t + 1 steps, and the nudged phase with all its updates kept. Ours runs the free
phase once and sweeps back. Both start from the same weights; the cumulated gradients NT and updates
DT must agree, or the exit status is 1.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plain import PlainEPcont, PlainEPdisc, PlainToy  # noqa: E402

from gradientMatching import compare_processes, free_trajectory  # noqa: E402
from netClasses import EPcont, EPdisc, toyEPcont  # noqa: E402

ROUNDINGS = 100  # DT is a difference of states over beta: float32 leaves so many roundings / beta


def pair(plain, ours, sizes, **options):
    return partial(plain, sizes, "tanh", **options), partial(ours, sizes, "tanh", **options)


DENSE = {"dt": 0.08, "clamp": False}
ROWS = {  # the plain and our network, batch, T, Kmax, beta: the published commands
    "fig2": (*pair(PlainToy, toyEPcont, [10, 50, 5], **DENSE), 1, 5000, 80, 0.01),
    "EB-1h": (*pair(PlainEPcont, EPcont, [10, 512, 784], **DENSE), 20, 800, 80, 0.001),
    "P-1h": (*pair(PlainEPdisc, EPdisc, [10, 512, 784], dt=1.0), 20, 150, 10, 0.01),
    "P-2h": (*pair(PlainEPdisc, EPdisc, [10, 512, 512, 784], dt=1.0), 1, 1500, 40, 0.01),
}


def plain_processes(net, data, target, T, K, beta):
    """NT and DT per weight, (K, shape of W), by running the free phase K times."""
    NT, DT = [], []
    for t in range(K):
        s = net.free(data, net.init_hidden(len(data)), T - t - 1)
        s = net.run(data, s, t + 1)
        net.zero_grad()
        (((net.layers(s)[0] - target) ** 2).sum() / (2 * len(data))).backward()
        NT.append([torch.zeros_like(w.weight) if w.weight.grad is None else w.weight.grad.clone()
                   for w in net.w])  # fmt: skip
    with torch.no_grad():
        s_free = net.free(data, net.init_hidden(len(data)), T)
        start, s = net.correlations(data, s_free), s_free
        for _ in range(K):
            s = net.step(data, s, target, beta)
            both = zip(net.correlations(data, s), start, strict=True)
            DT.append([(f - n) / (beta * len(data)) for (n, _), (f, _) in both])
    return [[torch.stack(steps) for steps in zip(*kind, strict=True)] for kind in (NT, DT)]


def our_processes(net, data, target, T, K, beta):
    return compare_processes(net, data, target, free_trajectory(net, data, T, K), beta)


def timed(function):
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def measure(name):
    """Seconds of both ways and the largest relative difference of what they give."""
    make_plain, make_ours, batch, T, K, beta = ROWS[name]
    plain, ours = make_plain(), make_ours()
    for module, (weight, bias) in zip(plain.w, ours.synapses, strict=True):
        module.weight.data.copy_(weight.data)
        module.bias.data.copy_(bias.data)
    generator = torch.Generator().manual_seed(0)
    data = torch.rand(batch, plain.size_tab[-1], generator=generator)
    target = torch.eye(10)[torch.randint(10, (batch,), generator=generator)]
    job = (data, target, T, K, beta)
    with torch.no_grad():
        free_trajectory(ours, data, 20, 5)  # nothing is timed cold
    found, our_seconds = timed(lambda: our_processes(ours, *job))
    expected, plain_seconds = timed(lambda: plain_processes(plain, *job))
    error = max(
        relative_error(
            torch.from_numpy(found[f"{kind}_{weight}"]),
            values.flatten(1)[:, found[f"places_{weight}"]],
        )
        for kind, weights in zip(("NT", "DT"), expected, strict=True)
        for weight, values in zip(found["synapses"], weights, strict=True)
    )
    return plain_seconds, our_seconds, error


def relative_error(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def main():
    parser = argparse.ArgumentParser(description="Time plotcurves against the plain way.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    names = parser.parse_args().rows or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}: choose from {', '.join(ROWS)}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'row':<8}{'plain s':>10}{'ours s':>10}{'ratio':>8}{'difference':>12}")
    differ = False
    for name in names:
        plain_seconds, our_seconds, error = measure(name)
        ratio = plain_seconds / our_seconds
        print(f"{name:<8}{plain_seconds:>10.1f}{our_seconds:>10.2f}{ratio:>8.0f}{error:>12.1e}")
        differ |= error > ROUNDINGS * torch.finfo(torch.float32).eps / ROWS[name][-1]
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
