"""Noise in the states and mismatch of the weights: seen in use, drawn from the seed, not taught."""

import numpy as np
import pytest
import torch
from commands import call, only_run, options, refuses

from netClasses import AsymmetricEPdisc, EPcont, EPdisc, convEP
from networks.architectures import build_classifier
from networks.directed import DEEP, AsymmetricEP
from networks.noise import Noise
from networks.schedule import Schedule
from networks.smallWorld import SmallWorldEP
from networks.smooth import SmoothEP
from networks.topology import wire_up
from records.checkpoint import read_checkpoint

NETWORKS = {
    "EP": (lambda: EPcont([3, 6, 5, 8]), (8,)),
    "BPTT": (lambda: EPdisc([3, 6, 8], loss="cross-entropy", seed=1), (8,)),
    "BP": (lambda: EPdisc([3, 6, 8]), (8,)),
    "contrastive": (lambda: AsymmetricEPdisc([3, 6, 8]), (8,)),
    "EP of maps": (lambda: convEP([3], [4, 2, 1], (10, 10), Fconv=3), (1, 10, 10)),
    "EP with skips": (lambda: SmallWorldEP(wire_up([3, 5, 5, 8], 0.2)), (8,)),
    "DEEP": (lambda: DEEP(8, 5, 3, n_nets=2, dtype=torch.float32), (8,)),
    "asymEP": (lambda: AsymmetricEP(8, 5, 3, n_nets=2, dtype=torch.float32), (8,)),
    "asymEP, smooth": (lambda: SmoothEP(8, 5, 3, n_nets=2, dtype=torch.float32), (8,)),
    "BrainProp": (lambda: build_classifier("loccon", (1, 9, 9), 3), (1, 9, 9)),
    "EBP": (lambda: build_classifier("conv", (1, 8, 8), 3), (1, 8, 8)),
}
CASES = [(name, "step") for name in NETWORKS]
CASES += [(name, "relax") for name in NETWORKS if name[:2] in ("EP", "co", "as")]


def taught(name, solver="step", noise=None, key=5, **plan):
    """What a batch leaves: all weights, and the answer met on the way."""
    build, shape = NETWORKS[name]
    net, rule = build(), name.replace(",", "").split()[0]
    if noise is not None:
        net.noise = noise
    torch.manual_seed(0)
    data, target = torch.rand(6, *shape), torch.eye(3)[torch.arange(6) % 3]
    plan = Schedule(T=5, Kmax=3, beta=0.5, lr_tab=[0.1] * net.n_rates, solver=solver, **plan)
    torch.manual_seed(1)
    with net.noise.during(net.devices, key):
        output = net.rules[rule].learn(net, data, target, plan, None).output
    return [*net.state_dict().values(), output]


def same(one, other):
    return all(torch.equal(v, w) for v, w in zip(one, other, strict=True))


@pytest.mark.parametrize("name, solver", CASES)
def test_no_noise_changes_nothing_and_a_seed_is_its_noise(name, solver):
    assert same(taught(name, solver), taught(name, solver, Noise(0.0, 0.0, 3)))
    for kind in ("state", "weight"):
        if (name, kind) == ("BP", "state"):
            continue  # has no phases
        noisy = taught(name, solver, Noise(**{kind: 0.1}, seed=3))
        assert same(noisy, taught(name, solver, Noise(**{kind: 0.1}, seed=3)))
        assert not same(noisy, taught(name, solver, Noise(**{kind: 0.1}, seed=4)))
        assert not same(noisy, taught(name, solver))
        assert same(noisy, taught(name, solver, Noise(**{kind: 0.1}, seed=3), key=6)) == (
            kind == "weight"
        )


@pytest.mark.parametrize("plan", [{"both_signs": True}, {"nudge": "continual"}])
def test_every_nudge_is_noisy(plan):
    noisy = taught("EP", noise=Noise(0.1, 0.1, 3), **plan)
    assert same(noisy, taught("EP", noise=Noise(0.1, 0.1, 3), **plan))
    assert not same(noisy, taught("EP", **plan))


def test_noise_is_as_large_as_it_says():
    net = EPdisc([3, 500, 8], activation="tanh")
    net.noise = Noise(state=0.05, seed=1)
    with torch.no_grad(), net.noise.during(net.devices, 0):
        drive = net.drive(torch.rand(40, 8))
        s = net.initHidden(drive)
        moved = net.advance(drive, s)[1] - net.stepper(drive, s)[1]
    assert abs(moved.std().item() - 0.05) < 1e-3 and abs(moved.mean().item()) < 1e-3


def test_noise_stays_within_the_bounds():
    net = EPcont([3, 20, 8])
    net.noise = Noise(state=2.0, seed=1)
    with torch.no_grad(), net.noise.during(net.devices, 0):
        drive = net.drive(torch.rand(9, 8))
        for v in net(drive, net.initHidden(drive), 4):
            assert v.min() == 0 and v.max() == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_the_mismatch_is_seen_in_use_but_not_by_the_rule(name):
    """What a network with mismatch adds to its weights is what one adds whose weights are those."""
    build, shape = NETWORKS[name]
    rule = name.replace(",", "").split()[0]
    data = torch.rand(6, *shape, generator=torch.Generator().manual_seed(0))
    target = torch.eye(3)[torch.arange(6) % 3]
    net, other = build(), build()
    plan = Schedule(T=5, Kmax=3, beta=0.5, lr_tab=[0.1] * net.n_rates)
    net.noise = Noise(weight=0.3, seed=2)
    learnt = [p.detach().clone() for p in net.devices]
    with torch.no_grad(), net.noise.during(net.devices, 0):
        for mine, theirs in zip(net.devices, other.devices, strict=True):
            theirs.copy_(mine)
    acting = [p.detach().clone() for p in other.devices]
    assert all(torch.equal(p, v) for p, v in zip(net.devices, learnt, strict=True))
    assert not any(torch.equal(v, w) for v, w in zip(acting, learnt, strict=True))
    for one in (net, other):
        torch.manual_seed(1)
        with one.noise.during(one.devices, 0):
            one.rules[rule].learn(one, data, target, plan, None)
    for p, v, q, w in zip(net.devices, learnt, other.devices, acting, strict=True):
        assert torch.allclose(p - v, q - w, atol=2e-7 * max(1, w.abs().max()), rtol=1e-4)


SMALL = "--dataset digits --train-samples 120 --test-samples 60 --epochs {} --no-figures"
NOISY = " --state-noise 0.05 --weight-noise 0.2 --seed 3"


@pytest.mark.parametrize("net", ["--size_tab 10 12 64", "--architecture dense --validation test"])
def test_a_noisy_run_goes_on_and_is_tested_as_it_was(tmp_path, net):
    rule = " --training-method BrainProp --batch-size 20" if "arch" in net else ""
    line = f"{SMALL} {net}{rule}{NOISY}"
    for name, epochs in (("whole", 2), ("parts", 1)):
        call(*line.format(epochs).split(), "--results-dir", tmp_path / name)
    whole, parts = only_run(tmp_path / "whole"), only_run(tmp_path / "parts")
    call("--resume", parts, "--epochs", 2)
    kept = [read_checkpoint(run / "checkpoint.pt") for run in (whole, parts)]
    (method,) = kept[0]["weights"]
    assert same(*(one["weights"][method].values() for one in kept))
    error = kept[0]["progress"]["rows"][-1]["test_error"]
    evaluate = ["--action", "evaluate", "--load", whole / "checkpoint.pt", "--test-samples", 60]
    assert f"{method}: test error {error:.2f} %" in call(*evaluate)
    assert kept[0]["options"]["state_noise"] == 0.05
    quiet = call(*evaluate, "--state-noise", 0, "--weight-noise", 0)
    assert quiet != call(*evaluate)


def test_the_phases_say_how_they_end_and_sweeps_are_counted(tmp_path):
    text = call(*f"{SMALL.format(1)} --discrete{NOISY} --results-dir".split(), tmp_path)
    assert "phases: 20 free sweeps (omega 1.2) and 3 sweeps under the nudge, noise of 0.05" in text
    with np.load(only_run(tmp_path) / "results.npz") as arrays:
        assert arrays["EP_sweeps_free"].tolist() == [20] == arrays["EP_sweeps_free_worst"]


WRONG = {
    "--state-noise -1": "'-1' is not a number of at least 0",
    "--weight-noise nan": "'nan' is not a number of at least 0",
    "--weight-noise inf": "'inf' is not a number of at least 0",
    "--state-noise 0.1 --nudge linear": "--nudge linear is the response of a state at rest",
    "--state-noise 0.1 --tol 0.001": "--tol ends a phase when it rests",
    "--state-noise 0.1 --training-method DEEP --stop 1": "--stop ends a phase when it rests",
    "--state-noise 0.1 --T 9 --Kmax 3 --compile": "comes between the steps that --compile joins",
    "--discrete --training-method BP --state-noise 0.1": "--state-noise is not used by --training",
    "--action audit --state-noise 0.1": "--state-noise is not used by --action audit",
    "--action receipe --weight-noise 0.1": "--weight-noise is not used by --action receipe",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_noise_cannot_be_asked_for(words, place, capfd):
    refuses(f"--dataset digits {words}", WRONG[words], capfd)


def test_noise_is_off_unless_asked_for():
    assert options("--preset P-1h")["state_noise"] == options("")["weight_noise"] == 0.0
