"""Convolutions: every kind of pooling, strides, odd sizes, and what goes back is the transpose."""

import commands
import pytest
import torch

from netClasses import convEP
from networks.gradients import gradients_through
from solvers import Search, relax

FINE = Search(400, 1e-12, least=12)
NETS = {
    "max, odd": {"C_tab": [3, 2, 1], "pool": ["max"], "padding": True},
    "average, odd": {"C_tab": [3, 2, 1], "pool": ["average"]},
    "none, strides": {"C_tab": [3, 2, 1], "pool": ["none"], "stride": [2, 3]},
    "mixed": {"C_tab": [4, 3, 2, 1], "pool": ["max", "none", "average"], "pads": [0, 1, 2]},
    "one with stride": {"C_tab": [3, 1], "pool": ["none"], "stride": [2], "pads": [1]},
    "windows of three": {"C_tab": [3, 2, 1], "pool": ["average", "max"], "Fpool": 3, "pads": [1]},
}
every_network = pytest.mark.parametrize("name", NETS)
SIZE = (17, 14)


def built(name):
    options = dict(NETS[name])
    net = convEP([4], options.pop("C_tab"), SIZE, "sigm", Fconv=3, **options).double()
    with torch.no_grad():
        for w in net.weights:
            w.mul_(0.5)
    return net


def samples(n=4):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(n, 1, *SIZE, generator=generator, dtype=torch.float64)
    return x, torch.eye(4, dtype=torch.float64)[torch.arange(n) % 4]


@every_network
def test_what_goes_back_is_the_transpose_of_what_goes_forwards(name):
    """<s_k, pool(W * s_k+1)> changes with s_k+1 by what comes back, the maxima where they are."""
    net = built(name)
    generator = torch.Generator().manual_seed(2)
    for k, kernel in enumerate(net.weights[net.n_dense : -1]):
        sizes = (net.pooled_sizes[k], net.pooled_sizes[k + 1])
        above, below = (
            torch.rand(2, net.C_tab[k + i], *size, generator=generator, dtype=torch.float64)
            for i, size in enumerate(sizes)
        )
        below.requires_grad_()
        fall = net.fall(k, kernel, net.biases[net.n_dense + k])
        pooled, places = net.pool(k, below, kernel, None, fall)
        (expected,) = torch.autograd.grad((pooled * above).sum(), below)
        with torch.no_grad():
            back = net.unconvolve(k, net.unpool(k, above, places), kernel)
        assert back.shape == expected.shape and (back - expected).abs().max() < 1e-12


@every_network
@torch.no_grad()
def test_sweeps_end_where_steps_end(name):
    net, (x, y) = built(name), samples()
    drive = net.drive(x)
    free = relax(net, drive, net.initHidden(drive), FINE)
    assert free.residual.max() <= 1e-12
    nudged = relax(net, drive, free.state, FINE, y, 0.4)
    for found, more in ((free, ()), (nudged, (y, 0.4))):
        stepped = net(drive, found.state, 120, *more)
        pairs = zip(stepped, found.state, strict=True)
        assert max((a - b).abs().max().item() for a, b in pairs) < 1e-9


@every_network
@torch.no_grad()
def test_no_sample_depends_on_its_company(name):
    net, (x, _) = built(name), samples()
    together, alone = (
        relax(net, drive, net.initHidden(drive), FINE).state
        for drive in (net.drive(x), net.drive(x[2:3]))
    )
    assert (
        max((a[2:3] - b).abs().max().item() for a, b in zip(together, alone, strict=True)) < 1e-12
    )


@every_network
def test_local_updates_are_gradients_of_phi(name):
    """The update of a kernel is what autograd says of sum_k unpool(s_k) . (W_k * s_k+1 + b_k)."""
    net, (x, _) = built(name), samples()
    with torch.no_grad():
        drive = net.drive(x)
        s = net(drive, net.initHidden(drive), 5)
        found = net.phi_gradient(drive, s)
    maps = [*s[net.n_dense :], x]
    phi = 0.0
    for k in range(net.n_conv):
        w, b = net.synapses[net.n_dense + k]
        seen = torch.nn.functional.conv2d(maps[k + 1], w, b, net.strides[k], net.pads[k])
        phi = phi + (net.unpool(k, maps[k], s.positions[k]) * seen).sum()
    parameters = [p for pair in net.synapses[net.n_dense :] for p in pair]
    exact = torch.autograd.grad(phi, parameters)
    flat = [v for pair in found[net.n_dense :] for v in pair]
    assert max((a - b).abs().max().item() for a, b in zip(flat, exact, strict=True)) < 1e-10


def test_hard_units_and_average_pooling_are_taught_the_gradient():
    """A read-out, hard units and pooling without places: nothing is left that theory leaves out."""
    net = convEP(
        [4], [3, 2, 1], SIZE, "hardsigm", Fconv=3, pool=["average"], loss="cross-entropy"
    ).double()
    x, y = samples()
    with torch.no_grad():
        drive = net.drive(x)
        free = relax(net, drive, net.initHidden(drive), FINE).state
        plus, minus = (relax(net, drive, free, FINE, y, b).state for b in (1e-4, -1e-4))
        update = net.computeGradients(drive, minus, plus, 2e-4, net.loss.direct(net, free, y))
    gradients = gradients_through(net, x, y, free, 60)[1]
    for (u, _), (g, _) in zip(update, gradients, strict=True):
        assert torch.nn.functional.cosine_similarity(u.flatten(), -g.flatten(), 0) > 0.99999


WORDS = "--dataset digits --C_tab 6 4 1 --Fconv 3 --threads 1 --quiet --train-samples 200"


@pytest.mark.parametrize(
    "more",
    [
        "--padding --pool average max",
        "--pool none --stride 2 1",
        "--pads 1 1 --pool none max --loss cross-entropy --optimizer adam",
    ],
)
def test_it_runs_resumes_and_is_loaded(more, tmp_path):
    rates = [] if "adam" in more else ["--lr_tab", "0.1"]
    commands.call(*f"{WORDS} {more}".split(), *rates, "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    commands.call("--resume", folder, "--epochs", 2)
    printed = commands.call("--action", "evaluate", "--load", folder / "checkpoint.pt")
    assert "test error" in printed


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--pool median", "invalid choice: 'median'"),
        ("--pool max max max", "--pool has 3 values, this network has 2 convolutions"),
        ("--stride 1 2 3", "--stride has 3 values, this network has 2 convolutions"),
        ("--stride 0", "a whole number of at least 1"),
        ("--pads 1 1 1", "--pads has 3 values, this network has 2 convolutions"),
        ("--pads -1", "a whole number of at least 0"),
        ("--padding --pads 1", "--padding and --pads exclude each other"),
        ("--pool none --Fpool 3", "--Fpool is not used by --pool none"),
        ("--stride 5", "too small for filters of side 3"),
    ],
)
def test_wrong_uses_end_with_a_line(line, expected, capfd, place):
    message = commands.fails(f"{WORDS} --lr_tab 0.1 {line}", capfd)
    assert expected in message


def test_dense_networks_refuse_what_is_of_maps(capfd, place):
    for line in ("--pool average", "--stride 2", "--pads 1"):
        commands.refuses(f"--discrete {line}", "is not used by the prototypical network", capfd)
