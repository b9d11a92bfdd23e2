"""Optimisers: their formulas, where they are read, and that stopping changes nothing."""

import itertools
import math
import os
import signal

import commands
import numpy as np
import pytest
import torch

from datasets import load_dataset
from main import main
from netClasses import EPcont, EPdisc
from networks.architectures import build_classifier
from networks.directed import AsymmetricEP
from networks.directedRules import learn_by_directed
from networks.optimisers import KEPT, Optimizer
from networks.rules import BPTT, EP
from networks.schedule import Schedule
from networks.smallWorld import SmallWorldEP
from networks.topology import wire_up
from records.checkpoint import read_checkpoint

NAMES = tuple(KEPT)
DECAYS = {"sgd": 0.1, "momentum": 0.0, "nesterov": 0.02, "adam": 0.02, "adamw": 0.3}
WORDS = "--dataset digits --discrete --size_tab 10 16 64 --T 6 --Kmax 3 --threads 1 --quiet"
WORDS += " --train-samples 240"


def by_hand(name, w, gradients, rate, momentum, decay):
    """What a weight becomes under a sequence of gradients, written down from the definitions."""
    v = m = u = 0.0
    for t, g in enumerate(gradients, 1):
        if name == "adamw":
            w = w * (1 - rate * decay)
        else:
            g = g + decay * w
        if name in ("adam", "adamw"):
            m, u = 0.9 * m + 0.1 * g, 0.999 * u + 0.001 * g**2
            w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(u / (1 - 0.999**t)) + 1e-8)
        else:
            v = momentum * v + g
            w = w - rate * {"sgd": g, "momentum": v, "nesterov": g + momentum * v}[name]
    return w


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", NAMES)
def test_every_optimiser_is_its_formula_with_a_rate_per_group(name, sign):
    """Whether it is handed gradients with a negative rate, or directions of ascent."""
    torch.manual_seed(1)
    parameters = [torch.randn(4, 3, dtype=torch.float64) for _ in range(3)]
    updates = torch.randn(6, 3, 4, 3, dtype=torch.float64)
    rates, decay = [0.1, 0.03, 0.1], DECAYS[name]
    expected = [
        by_hand(name, p.numpy(), (-sign * updates[:, i]).numpy(), rates[i], 0.8, decay)
        for i, p in enumerate(parameters)
    ]
    optimizer = Optimizer(name, parameters, 0.8, decay)
    for step in updates:
        optimizer.step(parameters, list(step), [sign * rate for rate in rates])
    for p, values in zip(parameters, expected, strict=True):
        assert np.abs(p.numpy() - values).max() < 1e-12


def test_plain_descent_has_no_optimiser():
    net = EPdisc([10, 16, 64])
    net.use_optimizer(Schedule(1, 1, 1.0, [0.1]))
    assert net.optimizer is None
    net.use_optimizer(Schedule(1, 1, 1.0, [0.1], weight_decay=0.1))
    assert net.optimizer.name == "sgd" and not net.optimizer.state


NETS = {
    "EPdisc": lambda: EPdisc([10, 16, 64]),
    "EPcont": lambda: EPcont([10, 16, 64]),
    "skips": lambda: SmallWorldEP(wire_up([10, 8, 8, 64], 0.2)),
}


@pytest.fixture(scope="module")
def batch():
    torch.set_num_threads(1)
    return load_dataset("digits", "data").train.batch(slice(0, 20), torch.float64)


@pytest.mark.parametrize("rule", [EP, BPTT], ids=["EP", "BPTT"])
@pytest.mark.parametrize("name", NETS)
def test_a_rule_moves_each_layer_by_its_rate(name, rule, batch):
    """Adam's first step is the rate itself, along the sign of the plain update."""
    plain, net = (NETS[name]().double() for _ in range(2))
    before = [p.detach().clone() for p in net.parameters()]
    rates = [10.0**-k for k in range(2, 2 + net.n_rates)]
    plan = Schedule(20, 5, 0.5, rates, optimizer="adam")
    net.use_optimizer(plan)
    for one in (plain, net):
        rule.learn(one, *batch, plan)
    for p, q, old, rate in zip(
        net.parameters(), plain.parameters(), before, 2 * rates, strict=True
    ):
        moved, direction = p - old, (q - old).sign()
        clear = (q - old).abs() > 1e-5 * rate  # Adam's eps is next to nothing there
        assert clear.any()
        assert ((moved - rate * direction)[clear]).abs().max() < 0.01 * rate
        assert (moved[q == old] == 0).all()


def test_links_that_are_not_there_stay_away(batch):
    net = NETS["skips"]().double()
    plan = Schedule(20, 5, 0.5, [0.01] * 3, optimizer="adamw", weight_decay=0.1)
    net.use_optimizer(plan)
    for _ in range(2):
        EP.learn(net, *batch, plan)
    assert all((w[mask == 0] == 0).all() for w, mask in zip(net.weights, net.masks, strict=True))


@pytest.mark.parametrize("architecture, rule", [("deep", "BrainProp"), ("dense", "EBP")])
def test_feedforward_nets_take_their_penalty_into_the_gradient(architecture, rule, batch):
    """Momentum 0 is plain descent, with the published penalty of `deep` or without."""
    ends = []
    for name in ("sgd", "momentum"):
        net = build_classifier(architecture, (1, 8, 8), 10).double()
        plan = Schedule(1, 1, 1.0, [0.1], optimizer=name, momentum=0.0)
        net.use_optimizer(plan)
        torch.manual_seed(3)
        net.rules[rule].learn(net, *(v[:6] for v in batch), plan)
        ends.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert (ends[0] - ends[1]).abs().max() < 1e-14


def test_directed_networks_learn_alike_alone_and_in_company():
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
    y = torch.tensor([[0.0], [1], [1], [0]], dtype=torch.float64)
    plan = Schedule(60, 30, 1.0, [], optimizer="adam", factor=0.5)
    alone, many = (AsymmetricEP(2, 5, 1, n_nets=n, std=0.3) for n in (1, 3))
    first = alone.W.detach().clone()
    for net in (alone, many):
        net.use_optimizer(plan)
        learn_by_directed(net, x, y, plan)
    assert torch.equal(alone.W[0], many.W[0])
    assert (alone.W - first).abs().max().item() == pytest.approx(0.5, rel=1e-3)  # dt_W 1, halved


# Rates over time --------------------------------------------------------------------------------


def rates_of(plan, n_batches=10):
    return [
        plan.at(epoch, k, n_batches).lr_tab[0]
        for epoch in range(1, plan.epochs + 1)
        for k in range(n_batches)
    ]


def test_rates_follow_their_schedule():
    plan = Schedule(1, 1, 1.0, [2.0], epochs=4)
    assert rates_of(plan) == [2.0] * 40
    halved = Schedule(1, 1, 1.0, [2.0], epochs=4, halve_every=2)
    assert rates_of(halved) == [2.0] * 20 + [1.0] * 20
    cosine = rates_of(Schedule(1, 1, 1.0, [2.0], epochs=4, cosine=True))
    assert cosine == pytest.approx([1 + math.cos(math.pi * k / 40) for k in range(40)])
    warm = rates_of(Schedule(1, 1, 1.0, [2.0], epochs=4, warmup=1.5))
    assert warm == pytest.approx([2 * min(1, (k + 1) / 15) for k in range(40)])


def test_the_default_rates_fit_the_optimiser():
    assert commands.options("--discrete --dataset digits")["optimizer"] == "sgd"
    brain = "--architecture dense --training-method EBP"
    assert commands.options(brain)["schedule"] == "step"
    assert commands.options(f"{brain} --halve-every 0")["schedule"] == "constant"
    assert commands.options(f"{brain} --optimizer adam")["lr_tab"] == [0.001]
    momentum = commands.options(f"{brain} --optimizer momentum --momentum 0.75")
    assert momentum["lr_tab"] == [0.025]
    assert commands.options("--training-method DEEP --optimizer adamw")["dt_W"] == 0.001
    assert commands.options("--halve-every 5")["schedule"] == "step"
    assert commands.options("--schedule cosine")["halve_every"] is None


# Runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, more",
    [
        ("adamw", "--weight-decay 0.1 --schedule cosine --warmup 1.5 --benchmark"),
        ("nesterov", "--halve-every 1 --momentum 0.8"),
    ],
)
def test_a_run_stopped_within_an_epoch_goes_on_bit_for_bit(name, more, tmp_path, monkeypatch):
    words = f"{WORDS} --batch-size 20 --optimizer {name} {more} --epochs 2"
    commands.call(*words.split(), "--results-dir", tmp_path / "whole")
    taught, step = itertools.count(1), Optimizer.step

    def step_and_be_stopped(*args):
        step(*args)
        if next(taught) == 17:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Optimizer, "step", step_and_be_stopped)
        assert main([*words.split(), "--results-dir", str(tmp_path / "part")]) == 143
    folder = commands.only_run(tmp_path / "part")
    stopped = read_checkpoint(folder / "checkpoint.pt")
    assert stopped["progress"]["batch"] == 5 and stopped["optimizers"]["EP"]
    commands.call("--resume", folder)
    whole = read_checkpoint(commands.only_run(tmp_path / "whole") / "checkpoint.pt")
    after = read_checkpoint(folder / "checkpoint.pt")
    for kind in ("weights", "optimizers"):
        for method, tensors in whole[kind].items():
            assert all(torch.equal(v, after[kind][method][k]) for k, v in tensors.items())


def test_a_state_of_another_optimiser_is_refused(tmp_path, capfd):
    commands.call(*WORDS.split(), "--optimizer", "adam", "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    state["optimizers"]["EP"].pop("step.0")
    torch.save(state, folder / "checkpoint.pt")
    message = commands.fails(f"--resume {folder} --epochs 2", capfd)
    assert "holds no state of --optimizer adam" in message


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--optimizer rmsprop", "invalid choice: 'rmsprop'"),
        ("--momentum 0.5", "--momentum is not used by --optimizer sgd"),
        ("--optimizer adam --momentum 0.5", "--momentum is not used by --optimizer adam"),
        ("--optimizer momentum --momentum 1", "at least 0 and below 1"),
        ("--optimizer momentum --momentum -0.1", "at least 0 and below 1"),
        ("--weight-decay -1", "a number of at least 0"),
        ("--weight-decay nan", "a number of at least 0"),
        ("--schedule linear", "invalid choice: 'linear'"),
        ("--schedule step", "--schedule step needs --halve-every EPOCHS"),
        ("--schedule cosine --halve-every 3", "--halve-every is not used by --schedule cosine"),
        ("--schedule constant --halve-every 3", "--halve-every is not used by --schedule constant"),
        ("--halve-every 1.5", "a whole number of at least 0"),
        ("--warmup -1", "a number of at least 0"),
        ("--warmup 3 --epochs 2", "--warmup 3 is longer than the training, 2"),
        ("--weight-decay 200 --lr_tab 0.1", "times the rate 0.1 is 1 or more"),
        ("--action receipe --optimizer adam", "--optimizer is not used by --action receipe"),
        (
            "--action evaluate --load none.pt --weight-decay 1",
            "no checkpoint at none.pt",
        ),
    ],
)
def test_wrong_uses_end_with_a_line(line, expected, capfd, place):
    message = commands.fails(f"{WORDS} {line}", capfd)
    assert expected in message


def test_epochs_cannot_be_changed_where_the_rates_end_with_them(tmp_path, capfd):
    commands.call(*WORDS.split(), "--schedule", "cosine", "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    message = commands.fails(f"--resume {folder} --epochs 2", capfd)
    assert "--epochs cannot be changed with --schedule cosine" in message
    commands.call("--resume", folder, "--epochs", 1)
