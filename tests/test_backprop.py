"""Plain backpropagation of the feedforward network of the same sizes."""

import commands
import pytest
import torch
import torch.nn.functional as F

from netClasses import EPdisc, convEP
from networks.schedule import Schedule


def feedforward(net, x):
    """The same network by the functions of torch: its layers, from the output backwards."""
    weights, biases = list(net.weights), list(net.biases)
    n_dense, s = net.n_dense if isinstance(net, convEP) else net.n_layers, [x]
    for k in reversed(range(n_dense, len(weights))):
        s.insert(0, torch.clamp(F.max_pool2d(F.conv2d(s[0], weights[k], biases[k]), 2), 0, 1))
    for i in reversed(range(n_dense)):
        s.insert(0, net.rho(F.linear(s[0].flatten(1), weights[i], biases[i])))
    return s[:-1]


NETWORKS = {
    "dense": (lambda: EPdisc([4, 6, 5, 9], "sigm", seed=1), (9,)),
    "conv": (lambda: convEP([4, 6], [5, 3, 1], (10, 10), "hardsigm", Fconv=3, seed=1), (1, 10, 10)),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_descends_the_gradient_of_the_feedforward_network(kind):
    build, shape = NETWORKS[kind]
    net, generator = build().double(), torch.Generator().manual_seed(0)
    x = torch.rand(7, *shape, generator=generator, dtype=torch.float64)
    target = torch.eye(4, dtype=torch.float64)[torch.arange(7) % 4]
    answers = feedforward(net, x)
    loss = (target - answers[0]).square().sum() / (2 * len(x))
    expected = torch.autograd.grad(loss, [p for pair in net.synapses for p in pair])
    before = [p.detach().clone() for pair in net.synapses for p in pair]
    schedule = Schedule(0, 0, 0.0, [0.1] * net.n_rates)
    lesson = net.rules["BP"].learn(net, x, target, schedule)
    torch.testing.assert_close(lesson.output, answers[0].detach(), rtol=0, atol=1e-12)
    after = [p for pair in net.synapses for p in pair]
    for old, new, gradient in zip(before, after, expected, strict=True):
        torch.testing.assert_close(old - new, 0.1 * gradient, rtol=0, atol=1e-12)
        assert gradient.abs().max() > 1e-4


def test_it_is_trained_and_evaluated_by_its_pass(tmp_path):
    words = ["--dataset", "digits", "--discrete", "--size_tab", 10, 16, 64, "--threads", 1]
    words += ["--loss", "cross-entropy", "--training-method", "BP", "--optimizer", "adam"]
    printed = commands.call(*words, "--epochs", 4, "--no-figures", "--results-dir", tmp_path)
    assert "phases" not in printed and "sweeps" not in printed
    error = float(printed.split("BP: test error")[1].split("%")[0])
    assert error < 30
    file = commands.only_run(tmp_path) / "checkpoint.pt"
    assert f"test error {error:.2f} %" in commands.call("--action", "evaluate", "--load", file)


@pytest.mark.parametrize(
    ("words", "expected"),
    {
        "--size_tab 10 16 64": "BP is not for the energy-based network, which learns by EP, BPTT,",
        "--discrete --T 20": "--T is not used by --training-method BP",
        "--discrete --beta 1": "--beta is not used by --training-method BP",
        "--discrete --feedback 0.1": "--feedback is not used by --training-method BP",
        "--discrete --asymmetric": "--asymmetric is not used by --training-method BP",
        "--C_tab 4 1 --tol 1e-4": "--tol is not used by --training-method BP",
    }.items(),
)
def test_what_has_no_phases_takes_no_option_of_phases(words, expected, capfd):
    commands.refuses(f"--dataset digits --training-method BP {words}", expected, capfd)
