"""Directed networks of smooth neurons, and what the exact gradient teaches them."""

import commands
import pytest
import torch
from commands import refuses

from networks.phases import free_phase
from networks.schedule import Schedule
from networks.smooth import SmoothEP
from networks.stability import stability

XOR = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
TARGET = torch.tensor([[0], [1], [1], [0]], dtype=torch.float64)


@pytest.fixture
def net():
    return SmoothEP(2, 5, 1, n_nets=3, dt=0.5, std=1.5, highest_start=0.0)


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_a_run_is_its_steps(net, beta):
    with torch.no_grad():
        drive = net.drive(XOR)
        s = net.initHidden(drive)
        phase = net.run(drive, net.pack(s), 30, TARGET, beta)
        before = s
        for _ in range(30):
            before, s = s, net.stepper(drive, s, TARGET, beta)
    assert torch.equal(phase.state, net.pack(s)) and (phase.steps == 30).all()
    change = (net.pack(s) - net.pack(before)).square().sum((1, 2)).sqrt()
    assert torch.allclose(phase.change, change, atol=1e-15)


def test_a_network_that_stops_does_not_hold_up_others(net):
    with torch.no_grad():
        drive = net.drive(XOR)
        start = net.pack(net.initHidden(drive))
        together = net.run(drive, start, 400, stop=1e-12)
        for k, steps in enumerate(together.steps.tolist()):
            alone = net.run(drive, start, steps)
            assert 1 < steps < 400 and torch.equal(alone.state[k], together.state[k])
            assert together.force[k] <= 1e-12 < net.run(drive, start, steps - 1).force[k]


def test_steps_and_sweeps_come_to_the_same_rest(net):
    with torch.no_grad():
        drive = net.drive(XOR)
        swept = free_phase(net, drive, net.initHidden(drive), relaxed()).state
        stepped = net.run(drive, net.pack(net.initHidden(drive)), 500).state
    assert torch.allclose(net.pack(swept), stepped, atol=1e-8)


def relaxed():
    return Schedule(0, 0, 1.0, [], solver="relax", tol=1e-11, max_sweeps=900)


def test_the_rule_is_that_of_the_vector_field(net):
    with torch.no_grad():
        drive = net.drive(XOR)
        free = net.run(drive, net.pack(net.initHidden(drive)), 500).state
        nudged = net.run(drive, free, 500, TARGET, 0.1).state
        dW, dB = net.contrast(drive, free, nudged, None)
    field = net.field(net.drive(XOR), free)
    pairs = torch.autograd.grad(field, (net.W, net.biases[0]), nudged - free)
    assert torch.allclose(dW * net.mask, pairs[0], atol=1e-10)
    assert torch.allclose(dB, pairs[1], atol=1e-10)


def test_stability_is_that_of_the_jacobian(net):
    with torch.no_grad():
        drive = net.drive(XOR)
        state = net.run(drive, net.pack(net.initHidden(drive)), 500).state
        found = stability(net, XOR, net.layers(state))
        force, jacobian, _ = net.linearised(drive, state)
    assert found["held"].eq(0).all() and force.abs().max() < 1e-9
    for k in range(3):
        for b in range(4):
            v = state[k, b]
            own = torch.autograd.functional.jacobian(
                lambda v, k=k, b=b: net.field(
                    drive, state.index_put((torch.tensor(k), torch.tensor(b)), v)
                )[k, b],
                v,
            )
            assert torch.allclose(own.T, jacobian[k, b], atol=1e-12)


def test_the_exact_gradient_teaches_xor_to_five_neurons(tmp_path):
    words = "--preset exact-xor --num_net 20 --epochs 120 --T 40 --seed 1 --quiet --no-figures"
    commands.call(*words.split(), "--results-dir", tmp_path)
    text = (commands.only_run(tmp_path) / "report.txt").read_text()
    line = next(line for line in text.splitlines() if "at some epoch" in line)
    share, median = line.split(": ")[1].split(" %")[0], line.split("/")[1]
    assert int(share) >= 85 and int(median) < 100


@pytest.mark.parametrize(
    "line, message",
    [
        ("--training-method DEEP --units sigmoid", "--units is not used by the directed network"),
        ("--units sigmoid", "--units is not used by the energy-based network"),
        ("--training-method asymEP --units tanh", "invalid choice: 'tanh'"),
    ],
)
def test_wrong_units_are_one_line(line, message, place, capfd):
    refuses(line, message, capfd)
