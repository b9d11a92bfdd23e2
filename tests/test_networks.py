"""Networks: what their constructors refuse, and that fast paths equal plain ones."""

import shutil

import pytest
import torch
import torch.nn.functional as F

from datasets import Split
from netClasses import EPcont, EPdisc, convEP, toyEPcont
from netFunctions import evaluate
from networks.equilibrium import BLOCK
from networks.gradients import bptt_gradients
from networks.schedule import Schedule

pytestmark = pytest.mark.long


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


def three_convolutions(rho: str, dtype: torch.dtype, side: int = 22) -> convEP:
    """Where this torch adds up filters of side 3 differently from place to place."""
    net = convEP([5, 7], [4, 3, 2, 1], (side, side), rho, Fconv=3, padding=True, seed=1)
    return net.to(dtype)


def end_of_phases(net: convEP, data: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        drive = net.drive(data)
        free = net(drive, net.initHidden(drive), 60)
        target = torch.eye(5, dtype=data.dtype)[:1].expand(len(data), 5)
        return [*free, *net(drive, free, 8, target, 0.5)]


def apart(states, others) -> float:
    return max((a - b).abs().max().item() for a, b in zip(states, others, strict=True))


CONV_BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-13}


@pytest.mark.parametrize("rho", ["sigm", "tanh", "hardsigm"])
@pytest.mark.parametrize("dtype", CONV_BOUNDS)
def test_the_state_of_an_image_does_not_depend_on_its_batch(dtype, rho):
    """With three convolutions all of a pooling window is equal, but for rounding, at first."""
    torch.manual_seed(0)
    net, data = three_convolutions(rho, dtype), torch.rand(9, 1, 22, 22, dtype=dtype)
    together = end_of_phases(net, data)
    for i in (0, 4, 8):
        alone = end_of_phases(net, data[i : i + 1])
        assert apart(alone, [v[i : i + 1] for v in together]) < CONV_BOUNDS[dtype]


@pytest.mark.parametrize("rho", ["sigm", "tanh", "hardsigm"])
@pytest.mark.parametrize("dtype", CONV_BOUNDS)
def test_rounding_in_a_convolution_does_not_choose_the_maximum(dtype, rho, monkeypatch):
    """Rounding drawn at random, as large as was ever seen, stands for any machine's."""
    torch.manual_seed(0)
    net, data = three_convolutions(rho, dtype), torch.rand(2, 1, 22, 22, dtype=dtype)
    data[:, :, :12] = 0.7  # an even surface, where ties last
    expected, exact = end_of_phases(net, data), F.conv2d

    def rounded(s, kernel, *args, **kwargs):
        maps = exact(s, kernel, *args, **kwargs)
        size = 0.6 * torch.finfo(dtype).eps * kernel.abs().sum((1, 2, 3))
        return maps + (torch.rand_like(maps) - 0.5) * size[:, None, None]

    monkeypatch.setattr(F, "conv2d", rounded)
    assert apart(end_of_phases(net, data), expected) < 20 * CONV_BOUNDS[dtype]


def test_the_first_of_equal_values_is_the_maximum_and_a_larger_one_wins():
    net = convEP([2], [3, 1], (6, 6), Fconv=1).double()
    data = torch.full((1, 1, 6, 6), 0.4, dtype=torch.float64)
    data[0, 0, 3, 1] = 0.5
    with torch.no_grad():
        net.weights[-1].fill_(1.0)
        drive = net.drive(data)
    places = drive.top_positions[0, 0]
    assert places.tolist() == [[0, 2, 4], [19, 14, 16], [24, 26, 28]]
    expected = torch.full((3, 3), 0.4, dtype=torch.float64)
    expected[1, 0] = 0.5
    bias = net.biases[-1].detach()[0]
    assert torch.allclose(drive.top[0, 0], expected + bias, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", CONV_BOUNDS)
def test_the_loss_does_not_depend_on_the_size_of_the_test_batch(dtype):
    torch.manual_seed(0)
    net, images = three_convolutions("sigm", dtype), torch.rand(12, 1, 22, 22)
    split = Split(images, torch.arange(12) % 5, 5, 1.0)
    losses = []
    for size in (1, 5, 12):
        plan = Schedule(T=60, Kmax=4, beta=0.5, lr_tab=[0.1] * 5, test_batch_size=size, dtype=dtype)
        losses.append(evaluate(net, split, plan).loss)
    assert max(losses) - min(losses) < 10 * CONV_BOUNDS[dtype]


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
