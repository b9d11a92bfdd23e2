"""Cross-entropy: a softmax that reads the last hidden layer, taught exactly by EP and by BPTT."""

import csv
import dataclasses
import math

import commands
import numpy as np
import pytest
import torch

from gradientMatching import compare_processes, free_trajectory
from netClasses import EPcont, EPdisc, convEP
from networks.gradients import gradients_through
from networks.losses import LOSSES
from networks.rules import learn_by_bptt, learn_by_ep
from networks.schedule import Schedule
from records.checkpoint import read_checkpoint
from solvers import Search, relax

FINE = Search(400, 1e-12, least=12)
CE = {"loss": "cross-entropy"}
NETS = {  # of one equilibrium, as their weights are small
    "EPdisc sigm": lambda: EPdisc([4, 9, 12], "sigm", dt=0.5, **CE),
    "EPdisc tanh": lambda: EPdisc([4, 9, 8, 12], "tanh", **CE),
    "EPdisc hard": lambda: EPdisc([4, 9, 8, 12], "hardsigm", **CE),
    "EPdisc half": lambda: EPdisc([4, 9, 8, 12], "hardsigm2", **CE),
    "EPcont sigm": lambda: EPcont([4, 9, 12], "sigm", **CE),
    "EPcont free": lambda: EPcont([4, 9, 8, 12], "tanh", clamp=False, **CE),
    "EPcont hard": lambda: EPcont([4, 9, 12], "hardsigm", **CE),
    "conv on top": lambda: convEP(
        [4], [3, 2, 1], (13, 11), "sigm", Fconv=3, pool=["average"], **CE
    ),
    "conv, dense": lambda: convEP([4, 6], [3, 1], (13, 11), "hardsigm", Fconv=3, **CE),
}
every_network = pytest.mark.parametrize("name", NETS)


def built(name):
    net = NETS[name]().double()
    with torch.no_grad():
        for w in net.weights[1:]:
            w.mul_(0.5)
        net.weights[0].mul_(2)  # a read-out that pulls
    return net


def samples(name, n=6):
    generator = torch.Generator().manual_seed(0)
    shape = (1, 13, 11) if name.startswith("conv") else (12,)
    x = torch.rand(n, *shape, generator=generator, dtype=torch.float64)
    return x, torch.eye(4, dtype=torch.float64)[torch.arange(n) % 4]


def distance(a, b):
    return max((v - w).abs().max().item() for v, w in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def rests():
    """By network: itself, its samples, drive and relaxed free state."""
    found = {}
    for name in NETS:
        net, batch = built(name), samples(name)
        with torch.no_grad():
            drive = net.drive(batch[0])
            found[name] = net, batch, drive, relax(net, drive, net.initHidden(drive), FINE).state
    return found


@every_network
@torch.no_grad()
def test_sweeps_end_where_steps_end_under_the_pull_of_a_read_out(name, rests):
    net, (_, y), drive, free = rests[name]
    T = 150 if name.startswith("conv") else 700
    assert distance(net(drive, free, T), free) < 1e-9
    for beta in (0.5, -0.3):
        stepped = net(drive, free, T, y, beta)
        nudged = relax(net, drive, free, FINE, y, beta)
        assert nudged.residual.max() <= 1e-12
        assert distance(stepped, nudged.state) < 1e-9
        assert distance(nudged.state, free) > 1e-3


@every_network
def test_two_small_nudges_teach_the_exact_gradient(name, rests):
    net, (x, y), drive, free = rests[name]
    gradients = gradients_through(net, x, y, free, 60 if name.startswith("conv") else 250)[1]
    beta = 1e-4
    with torch.no_grad():
        plus, minus = (relax(net, drive, free, FINE, y, b).state for b in (beta, -beta))
        update = net.computeGradients(drive, minus, plus, 2 * beta, net.loss.direct(net, free, y))
    for found, exact in zip(update, gradients, strict=True):
        for u, g in zip(found, exact, strict=True):
            assert (u + g).norm() < 1e-5 * g.norm()


@torch.no_grad()
def test_a_strong_nudge_of_either_sign_is_followed_to_its_rest(rests):
    for name in ("EPdisc sigm", "EPcont hard", "conv on top"):
        net, (_, y), drive, free = rests[name]
        for beta in (3.0, -2.0):
            nudged = relax(net, drive, free, FINE, y, beta)
            assert nudged.residual.max() <= 1e-11, (name, beta)
            towards = (net.output(nudged.state) * y).sum() > (net.output(free) * y).sum()
            assert towards == (beta > 0)


@every_network
def test_output_and_loss_are_those_of_a_softmax(name, rests):
    net, (x, y), _, free = rests[name]
    w, b = (p.detach().numpy() for p in net.synapses[0])
    scores = free[0].flatten(1).numpy() @ w.T + b
    softmax = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    answer = net.output(free).detach()
    assert np.abs(answer.numpy() - softmax).max() < 1e-12
    expected = -np.log(softmax[y.numpy() == 1])
    assert np.abs(net.loss.of(answer, y).numpy() - expected).max() < 1e-12
    assert net.loss.cost(net, free, y).item() == pytest.approx(expected.mean())


def test_a_sure_wrong_answer_has_a_finite_loss():
    answer, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert LOSSES["cross-entropy"].of(answer, target).item() == pytest.approx(87.3, abs=0.1)


def test_the_read_out_learns_by_its_error_times_what_it_sees(rests):
    """(y - softmax) s^T, mean over the batch and at its own rate, by either rule."""
    x, y = samples("EPdisc tanh")
    for rule in (learn_by_ep, learn_by_bptt):
        net = built("EPdisc tanh")
        before = net.weights[0].detach().clone()
        plan = Schedule(60, 8, 0.5, [0.3, 0.0, 0.0])
        lesson = rule(net, x, y, plan)
        expected = before + 0.3 * (y - lesson.output).t() @ lesson.state[0] / len(y)
        assert (net.weights[0] - expected).abs().max() < 1e-12


@pytest.mark.parametrize("name", ["EPdisc sigm", "EPcont hard", "conv on top", "conv, dense"])
def test_the_linear_nudge_and_both_signs_teach_the_gradient(name, rests):
    net, (x, y), _, free = rests[name]
    exact = gradients_through(net, x, y, free, 60 if name.startswith("conv") else 250)[1]
    for changes, bound in (({"nudge": "linear"}, 1e-6), ({"both_signs": True}, 1e-3)):
        pupil = built(name)
        plan = Schedule(0, 400, 0.01, [1.0] * net.n_rates, solver="relax", tol=1e-10, **changes)
        learn_by_ep(pupil, x, y, dataclasses.replace(plan, nudged="relax", nudged_sweeps=200))
        for after, before, (g, _) in zip(pupil.weights, net.weights, exact, strict=True):
            assert (after - before + g).norm() < bound * g.norm(), changes


def test_both_processes_of_the_curves_agree(rests):
    net, (x, y), _, _ = rests["EPcont free"]
    arrays = compare_processes(net, x, y, free_trajectory(net, x, 200, 20), 1e-4)
    assert list(arrays["synapses"]) == ["Wout", "W01", "W1x"]
    assert (arrays["cosine"] > 0.9999).all()
    assert arrays["rmse_S"][:, 0].max() < 1e-3 and arrays["rmse_T"][:, 0].max() < 1e-3


# Runs -------------------------------------------------------------------------------------------

WORDS = "--dataset digits --loss cross-entropy --threads 1 --quiet"


@pytest.mark.parametrize(
    "more",
    [
        "--discrete --size_tab 10 32 64 --lr_tab 0.3 0.3 --benchmark --train-samples 600",
        "--size_tab 10 32 64 --lr_tab 0.5 0.8 --beta 0.5",
        "--C_tab 8 1 --Fconv 3 --lr_tab 0.3 0.3 --activation-function hardsigm",
    ],
)
def test_a_network_learns_and_its_records_are_of_cross_entropy(more, tmp_path):
    commands.call(*f"{WORDS} {more}".split(), "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    for row in rows[-1 if "bench" not in more else -2 :]:
        assert float(row["test_error"]) < 60
        assert 0.05 < float(row["loss"]) < math.log(10)
    checkpoint = folder / "checkpoint.pt"
    printed = commands.call("--action", "evaluate", "--load", checkpoint)
    assert f"test error {float(rows[-1]['test_error']):.2f} %" in printed
    assert read_checkpoint(checkpoint)["options"]["loss"] == "cross-entropy"


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--loss hinge", "invalid choice: 'hinge'"),
        ("--dataset diabetes --loss cross-entropy", "chooses among classes, --dataset diabetes is"),
        ("--dataset xor --loss cross-entropy", "--dataset xor has answers of single bits"),
        ("--dataset digits --size_tab 10 64 --loss cross-entropy", "no hidden layer"),
        ("--toymodel --loss cross-entropy", "--loss is not used by the toy network"),
        ("--network-type MLFF --loss cross-entropy", "--loss is not used by the small-world"),
        ("--training-method DEEP --loss cross-entropy", "--loss is not used by the directed"),
        ("--architecture dense --training-method EBP --loss squared", "--loss is not used by"),
        ("--activation-function hardsigm2 --no-clamp", "leave out --no-clamp"),
        ("--loss cross-entropy --exact-output", "--exact-output is not used by --loss"),
    ],
)
def test_wrong_uses_end_with_a_line(line, expected, capfd, place):
    commands.refuses(line, expected, capfd)


def test_an_audit_finds_the_update_exact(place):
    words = "--dataset digits --loss cross-entropy --discrete --size_tab 10 8 64 --batch-size 3"
    printed = commands.call("--action", "audit", *words.split(), "--no-figures", "--quiet")
    rows = [line for line in printed.splitlines() if ", limit " in line]
    assert len(rows) >= 4 and all(row.count("1.0000") == 3 for row in rows), printed


def test_a_checkpoint_keeps_its_loss(tmp_path, capfd):
    commands.call(
        *f"{WORDS} --size_tab 10 8 64 --train-samples 40".split(), "--results-dir", tmp_path
    )
    checkpoint = commands.only_run(tmp_path) / "checkpoint.pt"
    message = commands.fails(f"--action evaluate --load {checkpoint} --loss squared", capfd)
    assert "--loss cannot be changed" in message
