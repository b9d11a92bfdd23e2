"""Separate forward and backward weights: the dynamics, the vector-field rule, the command line."""

import csv
import json

import commands
import pytest
import torch
from test_nudges import at_rest, cosine, flat, plan

from netClasses import AsymmetricConvEP, AsymmetricEPcont, AsymmetricEPdisc, EPcont, EPdisc, convEP
from networks.audit import EXACT, audit
from networks.gradients import bptt_gradients, gradients_at_rest
from networks.rules import BPTT, EP
from networks.schedule import Schedule
from solvers import Search, relax

CONV = {"Fconv": 3, "padding": True}
PAIRS = {  # name: the symmetric and the asymmetric network, made alike
    "disc tanh": ((EPdisc, AsymmetricEPdisc), ([4, 9, 8, 12], "tanh", 0.5), {}),
    "disc softmax": (
        (EPdisc, AsymmetricEPdisc),
        ([4, 9, 8, 12], "sigm"),
        {"loss": "cross-entropy"},
    ),
    "cont sigm": ((EPcont, AsymmetricEPcont), ([4, 9, 8, 12], "sigm"), {}),
    "cont exact": (
        (EPcont, AsymmetricEPcont),
        ([4, 9, 8, 12], "tanh"),
        {"exact_output": True, "clamp": False},
    ),
    "conv": (
        (convEP, AsymmetricConvEP),
        ([4, 6], [3, 2, 1], (10, 10), "sigm"),
        CONV | {"pool": ["average"]},
    ),
    "conv softmax": (
        (convEP, AsymmetricConvEP),
        ([4], [3, 2, 1], (10, 10), "hardsigm"),
        CONV | {"loss": "cross-entropy", "pool": ["average", "max"]},
    ),
}
every_pair = pytest.mark.parametrize("name", PAIRS)


def samples(name, n=7):
    """Data (n, ...) and one-hot targets (n, 4)."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 10, 10) if name.startswith("conv") else (12,)
    x = torch.rand(n, *shape, generator=generator, dtype=torch.float64)
    return x, torch.eye(4, dtype=torch.float64)[torch.arange(n) % 4]


def made(name, separate=True, scale=0.3):
    kinds, args, options = PAIRS[name]
    net = kinds[separate](*args, **options).double()
    with torch.no_grad():
        for w in net.weights:
            w.mul_(scale)
    return net


def tied(name, nearness=1.0, scale=0.3):
    """The asymmetric network whose backward weights go so far towards the forward ones."""
    net = made(name, scale=scale)
    with torch.no_grad():
        for v, (w, _) in zip(net.backward, net.joining, strict=False):
            v.lerp_(w, nearness)
            if nearness == 1.0:
                v.copy_(w)
    return net


def differences(one, other):
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


# Dynamics ---------------------------------------------------------------------------------------


@every_pair
def test_forward_weights_are_those_of_the_symmetric_network(name):
    symmetric, net = made(name, False), made(name)
    for (w, b), (own, bias) in zip(symmetric.synapses, net.synapses, strict=False):
        assert torch.equal(w, own) and torch.equal(b, bias)
    n = len(symmetric.weights)
    assert net.n_rates == n and len(net.weights) == n + len(net.backward) == len(net.synapse_names)
    for v, (w, _) in zip(net.backward, net.joining, strict=False):
        bound = 0.3 / w[0].numel() ** 0.5  # that of `made`
        assert v.shape == w.shape and 0.7 * bound < v.abs().max() <= bound
        assert abs(cosine(v.flatten(), w.flatten())) < 0.5


@every_pair
def test_transposed_backward_weights_make_the_symmetric_network(name):
    symmetric, net, (x, y) = made(name, False), tied(name), samples(name)
    with torch.no_grad():
        drives = [kind.drive(x) for kind in (symmetric, net)]
        starts = [kind.initHidden(d) for kind, d in zip((symmetric, net), drives, strict=True)]
        for phase in ({}, {"target": y, "beta": 0.3}):
            pairs = zip((symmetric, net), drives, starts, strict=True)
            starts = [kind(d, s, 25, **phase) for kind, d, s in pairs]
            assert differences(*starts) < 1e-12
    assert differences(at_rest(symmetric, x), at_rest(net, x)) < 1e-11


@every_pair
def test_steps_and_sweeps_come_to_the_same_rest(name):
    net, (x, y) = made(name), samples(name)
    with torch.no_grad():
        drive = net.drive(x)
        s = net.initHidden(drive)
        for phase in ({}, {"target": y, "beta": 0.2}):
            swept = relax(net, drive, s, Search(2000, 1e-13), **phase).state
            assert differences(swept, net(drive, s, 300, **phase)) < 1e-9
    assert differences(swept, at_rest(made(name, False), x)) > 1e-5


# The rule ---------------------------------------------------------------------------------------


def ends_of(net, x, y, beta):
    """The drive, the free state, and those under a nudge of -beta and beta."""
    s, drive = at_rest(net, x), net.drive(x)
    return drive, s, [relax(net, drive, s, Search(200, 1e-11), y, b).state for b in (-beta, beta)]


@torch.no_grad()
def test_the_update_is_the_postsynaptic_change_times_the_free_presynaptic_signal():
    net, (x, y) = made("disc tanh"), samples("")
    drive, s, (minus, plus) = ends_of(net, x, y, 0.1)
    for one, other, update in (
        (s, plus, net.computeGradients(drive, s, plus, 0.1)),
        (minus, plus, net.computeGradients(drive, *net.ends(s, minus, plus), 0.2)),
    ):
        beta = 0.1 if one is s else 0.2
        change = [(b - a) / (beta * len(x)) for a, b in zip(one, other, strict=True)]
        (W01, b0), (W12, _), (W2x, b2), (V10, none), (V21, _) = update
        for found, post, pre in ((W01, 0, s[1]), (W12, 1, s[2]), (W2x, 2, x)):
            assert torch.allclose(found, change[post].t() @ pre, atol=1e-14)
        assert torch.allclose(V10.t(), change[1].t() @ s[0], atol=1e-14)
        assert torch.allclose(V21.t(), change[2].t() @ s[1], atol=1e-14)
        assert torch.allclose(b0, change[0].sum(0)) and torch.allclose(b2, change[2].sum(0))
        assert none.numel() == 0


@torch.no_grad()
@pytest.mark.parametrize("name", ["disc tanh", "cont exact", "conv", "conv softmax"])
def test_the_update_of_the_symmetric_network_is_split_over_both_directions(name):
    """Where both directions have the same weights: dW of one network is dW + dV of the other."""
    symmetric, net, (x, y) = made(name, False), tied(name), samples(name)
    drive, s, (minus, plus) = ends_of(net, x, y, 1e-4)
    split = net.computeGradients(drive, *net.ends(s, minus, plus), 2e-4)
    drive, s, (minus, plus) = ends_of(symmetric, x, y, 1e-4)
    whole = symmetric.computeGradients(drive, minus, plus, 2e-4)
    back, first = [v for v, _ in split[len(whole) :]], net.n_read
    pairs = zip(split[first:], whole[first:], strict=False)
    for k, ((dW, db), (expected, bias)) in enumerate(pairs):
        total = dW + back[k] if k < len(back) else dW
        assert (total - expected).norm() < 1e-5 * expected.norm()
        assert (db - bias).norm() < 1e-5 * bias.norm()


@every_pair
def test_the_linear_response_is_the_gradient_of_a_long_free_phase(name):
    net, (x, y) = made(name), samples(name)
    gradients, _ = gradients_at_rest(net, x, y, at_rest(net, x), 1e-12)
    K = 300 if "cont" in name else 60
    _, expected = bptt_gradients(net, x, y, K + 100, K)
    assert (flat(gradients) - flat(expected)).norm() < 1e-8 * flat(expected).norm()
    for v, _ in gradients[net.n_rates :]:
        assert v.norm() > 0


def test_both_signs_take_the_rates_of_forward_partners_and_so_does_bptt():
    for rule, changes in ((EP, {"both_signs": True}), (EP, {}), (BPTT, {})):
        moved = []
        for rates in ([0.1, 0.2, 0.3], [0.1, 0.4, 0.3]):
            net, before = made("cont sigm"), made("cont sigm")
            rule.learn(net, *samples(""), plan(net, lr_tab=rates, **changes))
            moved.append([a - b for a, b in zip(net.weights, before.weights, strict=True)])
        for k, factor in enumerate((1, 2, 1, 1, 2)):
            assert torch.allclose(moved[0][k] * factor, moved[1][k], rtol=1e-6, atol=1e-12)
            assert moved[0][k].norm() > 0


def test_the_angle_to_bptt_closes_as_the_backward_weights_become_the_forward_ones():
    """Audited: the linear response is the gradient in any case, the vector field at the end."""
    x, y = samples("")
    settings = Schedule(T=60, Kmax=20, beta=0.05, lr_tab=[], dtype=torch.float64)
    cosines = []
    for nearness in (0.0, 0.7, 1.0):
        found = audit(tied("cont exact", nearness, 1.0), x[:3], y[:3], settings)
        assert not found.flaw
        assert bool(found.floor) == (nearness < 1.0)
        rows = {row.case.name: row.cosine for row in found.rows}
        assert all(rows["linear, relax"] > EXACT)
        cosines.append([rows[f"{nudge}, relax, limit"][0] for nudge in ("fixed +", "both")])
    assert found.subjects == ["all", "W01", "W12", "W2x", "V10", "V21"]
    for one, next_one in zip(cosines, cosines[1:], strict=False):
        assert next_one[0] > one[0] and next_one[1] > one[1]
    assert cosines[0][1] < 0.95 and min(cosines[-1]) > EXACT


@pytest.mark.parametrize("options", [{"size_tab": [4, 12]}, {"feedback": 0.1}])
def test_a_network_without_backward_weights_or_with_weak_ones_is_refused(options):
    with pytest.raises(ValueError, match="--asymmetric"):
        AsymmetricEPdisc(**({"size_tab": [4, 9, 12]} | options))


# From the command line --------------------------------------------------------------------------

DIGITS = "--dataset digits --asymmetric --threads 1 --quiet"
KINDS = {
    "P": "--discrete --size_tab 10 32 64 --lr_tab 0.1 0.2",
    "EB": "--size_tab 10 32 64 --lr_tab 0.1 0.4",
    "conv": "--C_tab 8 1 --Fconv 3 --size_tab 10 --lr_tab 0.1 --train-samples 500",
}


def trained(line, place):
    commands.call(*line.split(), "--results-dir", place)
    run = commands.only_run(place)
    return run, torch.load(run / "checkpoint.pt", weights_only=True)["weights"]


@pytest.mark.parametrize(
    "kind, words",
    [
        ("P", ""),
        ("EB", "--beta-sign both --beta 0.3"),
        ("conv", "--nudge linear --optimizer adam --lr_tab 0.01"),
    ],
)
def test_it_learns_digits(kind, words, tmp_path):
    run, _ = trained(f"{DIGITS} {KINDS[kind]} {words} --epochs 3", tmp_path)
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert float(rows[-1]["test_error"]) < 25
    assert json.loads((run / "hyperparameters.json").read_text())["options"]["asymmetric"]


def test_a_stopped_run_goes_on_bit_for_bit_and_is_tested(tmp_path, capfd):
    line = f"{DIGITS} {KINDS['P']} --optimizer momentum --beta-sign both --beta 0.3"
    line += " --batch-size 300 --benchmark"
    _, whole = trained(f"{line} --epochs 2", tmp_path / "whole")
    run, _ = trained(f"{line} --epochs 1", tmp_path / "parts")
    commands.call("--resume", run, "--epochs", 2, "--quiet")
    parts = torch.load(run / "checkpoint.pt", weights_only=True)["weights"]
    for method in ("EP", "BPTT"):
        assert len(whole[method]) == 6  # three weights, two biases and an empty one
        assert all(torch.equal(v, parts[method][name]) for name, v in whole[method].items())
    evaluate = f"--action evaluate --load {run / 'checkpoint.pt'}"
    assert "EP" in commands.call(*evaluate.split(), "--threads", 1)
    message = "--asymmetric cannot be changed"
    commands.refuses(f"{evaluate} --asymmetric", message, capfd)
    for name in ("weights.2", "weights.0"):
        assert not torch.equal(whole["EP"][name], whole["BPTT"][name])


@pytest.mark.parametrize(
    "line, message",
    [
        ("--toymodel", "--asymmetric is not used by the toy network"),
        ("--network-type MLFF", "--asymmetric is not used by the small-world"),
        ("--training-method DEEP", "--asymmetric is not used by the directed"),
        ("--training-method asymEP", "--asymmetric is not used by the directed"),
        ("--architecture dense", "--asymmetric is not used by the feedforward"),
        ("--discrete --feedback 0.1", "leave out --asymmetric, or it"),
        ("--discrete --size_tab 10 64 --lr_tab 0.1", "add a hidden layer"),
        ("--loss cross-entropy --size_tab 10 16 64", "add a hidden layer"),
        ("--discrete --size_tab 10 16 64 --lr_tab 1 2 3", "this network has 2 synapse groups"),
        ("--asymmetric yes", "unrecognized arguments: yes"),
    ],
)
def test_wrong_uses_end_with_a_line(line, message, capfd):
    assert message in commands.fails(f"--dataset digits --asymmetric {line}", capfd)
