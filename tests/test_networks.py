"""Networks: what their constructors refuse, and that fast paths equal plain ones."""

import shutil

import pytest
import torch

from netClasses import BLOCK, EPcont, EPdisc, convEP, toyEPcont
from networks.base import bptt_gradients


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: EPcont([10]), r"size_tab \[10\]"),
        (lambda: EPdisc([10, 0, 4]), "positive layer sizes"),
        (lambda: toyEPcont([10, 5, 5, 4]), "three layer sizes, size_tab has 4"),
        (lambda: convEP([10], [4], (8, 8)), "C_tab"),
        (lambda: convEP([10], [4, 4, 1], (8, 8)), "convolution 2 of 2 .* 2 x 2 maps"),
    ],
)
def test_constructors_say_what_does_not_fit(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_seed_decides_the_weights():
    one, same, other = (EPdisc([10, 8, 6], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.weights[1], same.weights[1])
    assert not torch.equal(one.weights[1], other.weights[1])
    bound = 6**-0.5
    assert one.weights[1].abs().max() <= bound and one.weights[1].abs().max() > 0.9 * bound


@pytest.mark.parametrize(
    "build, shape",
    [
        (lambda: convEP([5], [4, 3], (9, 12), Fconv=4, Fpool=3), (2, 3, 9, 12)),
        (lambda: convEP([5, 7], [4, 2, 3], (16, 11), Fconv=3, padding=True), (2, 3, 16, 11)),
        (lambda: convEP([5], [6, 4, 2, 1], (30, 30), Fconv=3), (2, 1, 30, 30)),
    ],
)
def test_convolutions_of_any_size_run_and_have_gradients(build, shape):
    torch.manual_seed(0)
    net = build().double()
    data, target = torch.rand(shape, dtype=torch.float64), torch.eye(5, dtype=torch.float64)[:2]
    with torch.no_grad():
        drive = net.drive(data)
        free = net(drive, net.initHidden(drive), 30)
        nudged = net(drive, free, 8, target, 0.5)
        update = net.computeGradients(drive, free, nudged, 0.5)
    _, gradients = bptt_gradients(net, data, target, 30, 8)
    for (w, b), pair, grad in zip(net.synapses, update, gradients, strict=True):
        assert pair[0].shape == grad[0].shape == w.shape
        assert pair[1].shape == grad[1].shape == b.shape
        assert all(g.isfinite().all() for g in (*pair, *grad))
        assert pair[0].abs().max() > 0


def test_a_step_leaves_the_state_it_was_given(  # the free state is needed after the nudged phase
):
    for net in (EPcont([4, 6, 5]), EPdisc([4, 6, 5], dt=0.5), toyEPcont([4, 6, 5])):
        with torch.no_grad():
            drive = net.drive(torch.rand(3, 5))
            s = net(drive, net.initHidden(drive), 3)
            copies = [v.clone() for v in s]
            net(drive, s, 4, torch.rand(3, 4), 0.7)
        assert all(torch.equal(a, b) for a, b in zip(s, copies, strict=True))


def test_a_negative_beta_nudges_the_other_way():
    net = EPdisc([4, 6, 5]).double()
    target = torch.eye(4, dtype=torch.float64)[:3]
    with torch.no_grad():
        drive = net.drive(torch.rand(3, 5, dtype=torch.float64))
        free = net(drive, net.initHidden(drive), 200)
        up, down = (net(drive, free, 1, target, beta)[0] - free[0] for beta in (0.3, -0.3))
    assert up.abs().max() > 0.01
    assert torch.allclose(up, -down, atol=1e-12)


def test_learn_is_compute_and_update_in_one():
    for build in (lambda: EPcont([4, 6, 5]), lambda: EPdisc([4, 6, 5])):
        one, other = build().double(), build().double()
        with torch.no_grad():
            drive = one.drive(torch.rand(3, 5, dtype=torch.float64))
            free = one(drive, one.initHidden(drive), 9)
            nudged = one(drive, free, 4, torch.rand(3, 4, dtype=torch.float64), 0.7)
            other.updateWeights(other.computeGradients(drive, free, nudged, 0.7), [0.1, 0.2])
            one.learn(drive, free, nudged, 0.7, [0.1, 0.2])
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.allclose(p, q, atol=1e-14)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++, none is here")
@pytest.mark.parametrize(
    "build, shape",
    [
        (lambda: EPcont([4, 6, 5], dt=0.2), (3, 5)),
        (lambda: convEP([4], [2, 1], (10, 10), Fconv=3), (3, 1, 10, 10)),
    ],
)
def test_compiled_steps_are_the_plain_steps(build, shape):
    plain, fast = build(), build()
    fast.compile_steps()
    data, target = torch.rand(shape), torch.eye(4)[:3]
    steps = BLOCK + 3
    with torch.no_grad():
        results = []
        for net in (plain, fast):
            drive = net.drive(data)
            free = net(drive, net.initHidden(drive), steps)
            nudged = net(drive, free, steps, target, 0.5)
            net.learn(drive, free, nudged, 0.5, [0.1] * len(net.synapses))
            results.append([*free, *nudged, *net.parameters()])
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
