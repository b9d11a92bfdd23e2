"""How EP learns what a nudge does: by phases of either sign, or by the adjoint of a step."""

import json
import re

import commands
import pytest
import torch
from test_solvers import NETS, built, samples

from netClasses import EPcont, EPdisc
from networks.directed import DEEP, AsymmetricEP
from networks.directedRules import learn_by_directed
from networks.gradients import bptt_gradients, gradients_at_rest
from networks.rules import CONTRASTIVE, COUPLED, EP
from networks.schedule import Schedule
from solvers import SOLVERS, Search, krylov, nudged_output, relax

ONE = [name for name in NETS if "three" not in name and "0h" not in name]
LAYERED = [  # of every class one or two
    *("EPdisc 2h tanh", "EPdisc 3h hardsigm", "EPcont 1h sigm clamp ", "EPcont 2h tanh free exact"),
    *("toy tanh", "conv 1", "conv 2", "skips 0", "intra and skips"),
]
REST = {"solver": "relax", "tol": 1e-11, "max_sweeps": 500}


def plan(net, **changes):
    options = {"T": 60, "Kmax": 8, "beta": 0.3, "lr_tab": [0.1] * len(net.synapses)}
    return Schedule(**(options | changes))


def flat(pairs):
    return torch.cat([v.detach().flatten() for pair in pairs for v in pair])


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, 0, 1e-300).item()


def at_rest(net, x):
    with torch.no_grad():
        drive = net.drive(x)
        return relax(net, drive, net.initHidden(drive), Search(2000, 1e-13)).state


def change_by(name, n=7, rule=EP, **changes):
    """What one lesson changes the weights by."""
    net = built(name)
    before = flat(net.synapses).clone()
    lesson = rule.learn(net, *samples(name, n), plan(net, **changes))
    return flat(net.synapses) - before, lesson


# The linear response ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONE)
def test_the_adjoint_gives_the_gradient_of_a_long_free_phase(name):
    net = built(name)
    x, y = samples(name)
    gradients, found = gradients_at_rest(net, x, y, at_rest(net, x), 1e-12)
    K = 50 if name.startswith("conv") else 1200 if name.startswith("asym") else 400
    _, expected = bptt_gradients(net, x, y, K + 200, K)
    difference = flat(gradients) - flat(expected)
    assert difference.norm() < 1e-8 * flat(expected).norm()
    assert found.residual.max() <= 1e-12 and found.sweeps.max() < 60


def test_the_adjoint_is_that_of_a_graph_unrolled_by_autograd():
    """Without the twin's own code: plain steps, one loss, one call of autograd."""
    net = built("intra and skips")
    x, y = samples("")
    s = net.initHidden(net.drive(x))
    drive = net.drive(x)
    for _ in range(400):
        s = net.stepper(drive, s)
    loss = (s[0] - y).square().sum(1).mean()
    expected = torch.autograd.grad(loss, [p for pair in net.synapses for p in pair])
    gradients, _ = gradients_at_rest(net, x, y, [v.detach() for v in s], 1e-12)
    expected = torch.cat([v.flatten() for v in expected])
    assert (flat(gradients) - expected).norm() < 1e-8 * expected.norm()


@pytest.mark.parametrize("name", LAYERED)
def test_a_lesson_by_the_linear_response_goes_down_the_gradient(name):
    change, lesson = change_by(name, nudge="linear", **REST)
    net = built(name)
    x, y = samples(name)
    gradients, _ = gradients_at_rest(net, x, y, at_rest(net, x), 1e-12)
    assert (change + 0.1 * flat(gradients)).norm() < 1e-8 * change.norm()
    assert lesson.measures["residual_nudged"] <= 1e-11
    stepped, _ = change_by(name, nudge="linear", T=300, tol=1e-11)
    assert (stepped - change).norm() < 1e-6 * change.norm()


@pytest.mark.parametrize("name", ["EPdisc 2h tanh", "EPcont 1h sigm clamp ", "conv 2", "intra"])
def test_no_linear_response_depends_on_the_company(name):
    net = built(name)
    x, y = samples(name, 9)
    s = at_rest(net, x)
    _, among = gradients_at_rest(net, x, y, s, 1e-5)
    for rows in (torch.tensor([4]), torch.arange(3, 9)):
        _, alone = gradients_at_rest(net, x[rows], y[rows], net.rows_of(s, rows), 1e-5)
        assert torch.equal(alone.sweeps, among.sweeps[rows])
        for one, other in zip(alone.state, among.state, strict=True):
            assert torch.allclose(one * len(rows), other[rows] * 9, rtol=1e-9, atol=1e-12)


def test_the_solver_needs_no_symmetry_and_goes_on_after_its_directions():
    torch.manual_seed(0)
    n = 60
    matrix = torch.eye(n, dtype=torch.float64) + torch.randn(5, n, n, dtype=torch.float64) / (
        2 * n**0.5
    )
    right = torch.randn(5, n, dtype=torch.float64)

    def sweep(layers, force):
        whole = torch.cat(layers, 1)
        moved = whole - torch.einsum("bij,bj->bi", matrix, whole) + torch.cat(force, 1)
        return list(moved.split([20, 40], 1))

    found = krylov(sweep, list(right.split([20, 40], 1)), 1e-10)
    exact = torch.linalg.solve(matrix, right)
    assert found.sweeps.min() > 12 and found.residual.max() <= 1e-10
    assert torch.allclose(torch.cat(found.state, 1), exact, atol=1e-8)


def test_what_needs_no_response_takes_none():
    force = [torch.zeros(3, 4, dtype=torch.float64)]
    found = krylov(
        lambda x, force: [f + 0.5 * v for f, v in zip(force, x, strict=True)], force, 1e-6
    )
    assert found.sweeps.max() == 0 and not found.state[0].any()


@pytest.mark.parametrize("kind", [DEEP, AsymmetricEP])
def test_directed_networks_learn_by_the_exact_gradient(kind):
    x, y = samples("", 4)
    nets = [kind(12, 6, 4, n_nets=3, std=0.3, highest_start=0.0, dt=0.2) for _ in range(2)]
    before = nets[0].W.detach().clone()
    schedule = Schedule(500, 1, 1.0, [1.0], nudge="linear", dtype=torch.float64)
    measures = learn_by_directed(nets[0], x, y, schedule).measures
    change = (nets[0].W.detach() - before) / nets[0].plasticity.dt_W
    drive = nets[1].drive(x)
    s = nets[1].initHidden(drive)
    for _ in range(500):
        s = nets[1].stepper(drive, s)
    (expected,) = torch.autograd.grad((s[0] - y).square().sum() / 8, [nets[1].W])
    difference = (change + expected).flatten(1).norm(dim=1)
    assert (difference <= 1e-3 * expected.flatten(1).norm(dim=1)).all()
    assert expected.norm() > 0.1
    assert measures["steps_nudged"].shape == (3,) and measures["residual_nudged"].max() < 1e-3


# Both signs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.parametrize("how", [REST | {"nudged_sweeps": 60}, {"T": 150, "Kmax": 60}])
def test_both_signs_are_the_mean_of_the_two(name, how):
    found = {}
    for beta, both in ((0.3, True), (0.3, False), (-0.3, False), (-0.3, True)):
        found[beta, both], _ = change_by(name, beta=beta, both_signs=both, **how)
    mean = (found[0.3, False] + found[-0.3, False]) / 2
    assert (found[0.3, True] - mean).norm() < 1e-9 * mean.norm()
    assert torch.equal(found[0.3, True], found[-0.3, True])


@pytest.mark.parametrize("name", [name for name in LAYERED if name != "conv 2"])  # flat
def test_both_signs_come_nearer_to_the_gradient_than_one(name):
    """To the limit of small nudges, which is the gradient where the dynamics have an energy."""
    how = REST | {"nudged": "relax", "nudged_sweeps": 60}
    limit, _ = change_by(name, beta=1e-4, both_signs=True, **how)
    if name in ("EPcont 2h tanh free exact", "toy tanh", "skips 0", "intra and skips"):
        net = built(name)
        x, y = samples(name)
        gradients, _ = gradients_at_rest(net, x, y, at_rest(net, x), 1e-12)
        assert cosine(limit, -flat(gradients)) > 1 - 1e-6
    both, one = (change_by(name, beta=0.02, both_signs=b, **how)[0] for b in (True, False))
    assert 1 - cosine(both, limit) < 0.5 * (1 - cosine(one, limit))


@pytest.mark.parametrize("name", ["EPdisc 2h tanh", "toy tanh", "conv 1", "conv 2"])
def test_both_signs_do_not_learn_from_what_the_free_phase_had_still_to_go(name):
    """One sign takes it for an answer to the nudge, the larger the smaller the nudge is."""
    how = {"solver": "relax", "max_sweeps": 2, "nudged": "relax", "nudged_sweeps": 4}
    both, one = (
        [change_by(name, beta=beta, both_signs=b, **how)[0].norm() for beta in (1e-2, 1e-5)]
        for b in (True, False)
    )
    assert both[1] < 1.5 * both[0]
    assert one[1] > 100 * one[0]


@pytest.mark.parametrize("solver", ["step", "relax"])
def test_both_signs_of_directed_networks(solver):
    x, y = samples("", 4)
    changes = {}
    for beta, both in ((0.3, True), (0.3, False), (-0.3, False)):
        net = AsymmetricEP(12, 6, 4, n_nets=3, std=0.3)
        before = net.W.detach().clone()
        learn_by_directed(
            net,
            x,
            y,
            plan(
                net,
                T=2000,
                Kmax=2000,
                beta=beta,
                both_signs=both,
                **(REST if solver == "relax" else {}),
            ),
        )
        changes[beta, both] = net.W.detach() - before
    mean = (changes[0.3, False] + changes[-0.3, False]) / 2
    assert (changes[0.3, True] - mean).norm() < 1e-8 * mean.norm()


def test_a_nudge_of_each_sample_is_that_of_the_sample():
    torch.manual_seed(0)
    received, target = torch.randn(6, 3), torch.rand(6, 3)
    each = torch.tensor([[0.4], [-0.3], [-0.99], [-1.0], [-1.7], [2.0]])
    found = nudged_output(received, target, each, True)
    for k, pull in enumerate(each.flatten().tolist()):
        one = nudged_output(received[k : k + 1], target[k : k + 1], pull, True)
        assert torch.allclose(found[k : k + 1], one, atol=1e-5)
    unbounded = nudged_output(received[:2], target[:2], each[:2], False)
    assert torch.allclose(unbounded[:1], nudged_output(received[:1], target[:1], 0.4, False))


def test_a_pull_without_an_end_is_refused_for_either_sign():
    net = EPdisc([4, 6, 12])
    schedule = plan(net, beta=1.2, both_signs=True, solver="relax", dtype=torch.float32)
    with pytest.raises(ValueError, match="a nudge of -1.2"):
        EP.learn(net, *(v.float() for v in samples("")), schedule)


# Other second phases ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERED)
def test_continual_learning_is_that_of_a_phase_as_rates_vanish(name):
    how = {"T": 100, "Kmax": 6}
    n = len(built(name).synapses)
    plain, _ = change_by(name, lr_tab=[1e-6] * n, **how)
    slow, _ = change_by(name, lr_tab=[1e-6] * n, nudge="continual", **how)
    fast, lesson = change_by(name, lr_tab=[0.3] * n, nudge="continual", **how)
    assert (slow - plain).norm() < 1e-4 * plain.norm()
    assert (fast / 3e5 - plain).norm() > 1e-4 * plain.norm()  # the weights have moved on the way
    assert ("correction" in lesson.measures) == ("ski" in name)


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.parametrize("how", [REST | {"nudged": "relax", "nudged_sweeps": 60}, {"Kmax": 60}])
def test_a_clamped_output_is_that_of_a_nudge_without_end(name, how):
    """Contrastive learning is beta times EP's update as beta grows, and coupled learning by 1."""
    how = {"T": 150} | how
    contrast, _ = change_by(name, rule=CONTRASTIVE, **how)
    coupled, _ = change_by(name, rule=COUPLED, beta=1.0, **how)
    assert torch.equal(contrast, coupled)
    if "nudged" in how:
        strong, _ = change_by(name, beta=1e7, **how)
        assert (1e7 * strong - contrast).norm() < 1e-4 * contrast.norm()


@pytest.mark.parametrize("name", ["EPdisc 2h tanh", "EPcont 1h sigm clamp ", "conv 1", "skips 0"])
def test_coupled_learning_holds_the_output_on_the_way_to_the_target(name):
    net = built(name)
    x, y = samples(name)
    s = at_rest(net, x)
    held = {}
    for solver, search in (("relax", Search(80, 1e-12, least=60)), ("step", Search(400))):
        with torch.no_grad():
            goal = s[0] + 0.2 * (y - s[0])
            search = search._replace(clamps=True)
            held[solver] = SOLVERS[solver](net, net.drive(x), s, search, goal, 0.2).state
    assert torch.equal(held["relax"][0], goal) and torch.equal(held["step"][0], goal)
    for one, other in zip(held["relax"], held["step"], strict=True):
        assert torch.allclose(one, other, atol=1e-9)
    both, _ = change_by(name, rule=COUPLED, beta=0.2, both_signs=True, T=100, Kmax=40)
    pair = [change_by(name, rule=COUPLED, beta=b, T=100, Kmax=40)[0] for b in (0.2, -0.2)]
    assert (both - sum(pair) / 2).norm() < 1e-9 * both.norm()


# Weak feedback ----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.0, 0.3, 0.05, 0.01])
def test_the_update_of_a_network_with_weak_feedback_is_its_gradient(factor):
    net = EPcont([4, 9, 8, 12], "tanh", exact_output=True, clamp=False, feedback=factor).double()
    x, y = samples("")
    s = at_rest(net, x)
    gradients, _ = gradients_at_rest(net, x, y, s, 1e-12)
    with torch.no_grad():
        drive = net.drive(x)
        ends = [relax(net, drive, s, Search(500, 1e-15), y, beta).state for beta in (-1e-3, 1e-3)]
        update = net.computeGradients(drive, *ends, 2e-3)
    for (dW, db), (gW, gb) in zip(update, gradients, strict=True):
        assert (dW + gW).norm() < 1e-5 * gW.norm() and (db + gb).norm() < 1e-5 * gb.norm()


def test_every_layer_of_a_prototypical_network_keeps_the_size_of_its_update():
    net = EPdisc([4, 9, 8, 12], "tanh", feedback=0.02).double()
    x, y = samples("")
    gradients, _ = gradients_at_rest(net, x, y, at_rest(net, x), 1e-12)
    before = [w.detach().clone() for w in net.weights]
    EP.learn(net, x, y, plan(net, beta=1e-2, both_signs=True, **REST))
    for w, old, (gradient, _) in zip(net.weights, before, gradients, strict=True):
        change = (w.detach() - old) / 0.1
        assert cosine(change.flatten(), -gradient.flatten()) > 0.95
        assert 0.5 < change.norm() / gradient.norm() < 2.5  # its slopes are left out


def test_weak_feedback_rests_after_few_sweeps():
    sweeps = []
    for factor in (1.0, 0.01):
        net = EPdisc([10, 50, 50, 50, 12], feedback=factor)
        with torch.no_grad():
            drive = net.drive(torch.rand(20, 12))
            search = Search(100, least=net.relaxing.least)
            sweeps.append(relax(net, drive, net.initHidden(drive), search).sweeps.max())
    assert sweeps[1] <= 4 < sweeps[0]


# From the command line --------------------------------------------------------------------------

DIGITS = "--dataset digits --train-samples 200 --test-samples 50 --batch-size 100 --threads 1"
KINDS = {
    "P": "--discrete --size_tab 10 8 64",
    "EB": "--size_tab 10 8 64",
    "toy": "--toymodel --size_tab 10 8 64",
    "conv": "--C_tab 2 1 --Fconv 3 --lr_tab 0.1",
    "skips": "--network-type SW_no_intra --size_tab 10 8 8 64",
}
WAYS = ("--nudge linear", "--beta-sign both --beta 0.4")
SAID = {"--nudge continual": "which the weights follow", "--training-method coupled": "coupled"}
SAID |= {"--training-method contrastive": "contrastive"}


@pytest.mark.parametrize("words", SAID)
@pytest.mark.parametrize("kind", KINDS)
def test_every_network_has_other_second_phases(kind, words, tmp_path, monkeypatch):
    monkeypatch.setattr("runs.train.draw_figures", lambda path: None)
    line = f"{DIGITS} {KINDS[kind]} {words} --quiet --Kmax 4 --solver relax"
    assert SAID[words] in commands.call(*line.split(), "--results-dir", tmp_path)


@pytest.mark.parametrize("words", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_network_learns_so_and_says_how(kind, words, tmp_path, monkeypatch):
    monkeypatch.setattr("runs.train.draw_figures", lambda path: None)
    line = f"{DIGITS} {KINDS[kind]} {words} --quiet --results-dir {tmp_path}"
    printed = commands.call(*line.split())
    assert ("linear response" if "linear" in words else "each sign of beta") in printed
    run = commands.only_run(tmp_path)
    options = json.loads((run / "hyperparameters.json").read_text())["options"]
    assert options["nudge" if "linear" in words else "beta_sign"] == words.split()[1]
    assert re.search(r"sweeps [\d.]+ \(\d+\) \+ " if "linear" in words else r"sweeps \d", printed)


@pytest.mark.parametrize("words", WAYS)
def test_a_stopped_run_goes_on_bit_for_bit(words, tmp_path, monkeypatch):
    monkeypatch.setattr("runs.train.draw_figures", lambda path: None)
    weights = []
    for place, epochs in (("whole", ["--epochs", 2]), ("parts", ["--epochs", 1])):
        line = f"{DIGITS} {KINDS['P']} {words} --persistent --quiet"
        commands.call(*line.split(), *epochs, "--results-dir", tmp_path / place)
        run = commands.only_run(tmp_path / place)
        if place == "parts":
            commands.call("--resume", run, "--epochs", 2, "--quiet")
        weights.append(torch.load(run / "checkpoint.pt", weights_only=True)["weights"]["EP"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    "line, message",
    [
        ("--nudge linear --beta 0.5", "--beta is not used by --nudge linear"),
        ("--nudge linear --Kmax 9", "--Kmax is not used by --nudge linear"),
        ("--nudge linear --beta-sign both", "--beta-sign is not used by --nudge linear"),
        ("--nudge linear --training-method BPTT", "not used by --training-method BPTT"),
        ("--nudge sharp", "invalid choice: 'sharp'"),
        ("--beta-sign up", "invalid choice: 'up'"),
        ("--beta-sign both --training-method BPTT", "not used by --training-method BPTT"),
        ("--beta-sign both --training-method DEEP", "--beta-sign is not used by the directed"),
        ("--nudge continual --training-method asymEP", "it takes finite or linear"),
        ("--nudge continual --training-method DEEP", "it takes finite or linear"),
        ("--nudge continual --beta-sign both", "--beta-sign both, which compares two"),
        ("--training-method coupled --nudge linear", "not used by --training-method coupled"),
        ("--training-method contrastive --beta 0.3", "not used by --training-method contrastive"),
        ("--training-method contrastive --beta-sign both", "by --training-method contrastive"),
        ("--training-method contrastive --nudge continual", "by --training-method contrastive"),
        ("--training-method coupled --loss cross-entropy", "has nothing to hold"),
        ("--feedback 0", "a number above 0 and at most 1"),
        ("--feedback 1.5", "a number above 0 and at most 1"),
        ("--feedback 0.1 --toymodel", "--feedback is not used by the toy network"),
        ("--feedback 0.1 --C_tab 4 1", "--feedback is not used by the convolutional network"),
        ("--feedback 0.1 --network-type MLFF", "--feedback is not used by the small-world"),
        ("--feedback 0.1 --training-method DEEP", "--feedback is not used by the directed"),
        ("--training-method coupled --benchmark", "leave --training-method out"),
        ("--training-method coupled --architecture dense", "learn by --training-method"),
        ("--nudge linear --architecture dense", "--nudge is not used by the feedforward"),
        ("--beta-sign both --architecture dense", "--beta-sign is not used by the feedforward"),
        ("--nudge linear --action evaluate --load x", "x"),
        ("--nudge linear --action receipe", "--nudge is not used by --action receipe"),
        ("--beta-sign both --action plotcurves", "not used by --action plotcurves"),
        ("--discrete --beta -1.5", "a nudge of -1.5 drives the output"),
        ("--discrete --beta 1 --beta-sign both", "a nudge of -1 drives the output"),
        ("--C_tab 4 1 --beta 2 --beta-sign both", "a nudge of -2 drives the output"),
    ],
)
def test_wrong_uses_end_with_a_line(line, message, capfd):
    assert message in commands.fails(line, capfd)
