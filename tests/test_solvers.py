"""Solvers: sweeps find the rest that steps end in, alone or in company, and EP learns from it."""

import dataclasses
import re
from types import SimpleNamespace

import commands
import numpy as np
import pytest
import torch

import solvers
from netClasses import EPcont, EPdisc, convEP, toyEPcont
from networks.directed import DEEP, AsymmetricEP
from networks.directedRules import learn_by_directed
from networks.gradients import bptt_gradients
from networks.phases import other_sign, rest
from networks.rules import BPTT, EP
from networks.schedule import Schedule
from networks.smallWorld import SmallWorldEP
from networks.topology import wire_up
from solvers import Relaxing, Search, Solution, nudged_output, relax, step

pytestmark = pytest.mark.long

FINE = Search(500, 1e-12, least=12)
SIZES = {"1h": [4, 9, 12], "2h": [4, 9, 8, 12], "3h": [4, 9, 8, 7, 12], "0h": [4, 12]}
IMAGE = (1, 22, 22)


def small_world(bypass_p, intra, seed=0):
    net = SmallWorldEP(wire_up([4, 9, 8, 7, 12], bypass_p, intra, seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for b in net.biases:  # or most units would be held at 0
            b.uniform_(0.0, 0.6, generator=generator)
    return net


def convolutional(C_tab, activation="sigm", size_tab=(4,), **options):
    return convEP(size_tab, C_tab, IMAGE[1:], activation, Fconv=3, **options)


NETS = {  # name: (network, factor of its weights: small ones have one equilibrium)
    **{
        f"EPdisc {size} {act}": (lambda size=size, act=act: EPdisc(SIZES[size], act, dt=0.5), 0.5)
        for size, act in (("0h", "sigm"), ("1h", "sigm"), ("2h", "tanh"), ("3h", "hardsigm"))
    },
    **{
        f"EPcont {size} {act} {'clamp' if clamp else 'free'} {'exact' if exact else ''}": (
            lambda size=size, act=act, clamp=clamp, exact=exact: EPcont(
                SIZES[size], act, clamp=clamp, exact_output=exact
            ),
            0.5,
        )
        for size, act, clamp, exact in (
            ("0h", "sigm", True, True),
            ("1h", "sigm", True, False),
            ("1h", "hardsigm", True, True),
            ("2h", "tanh", False, True),
            ("3h", "sigm", False, False),
        )
    },
    **{
        f"toy {act}": (lambda act=act: toyEPcont(SIZES["1h"], act), 0.5)
        for act in ("tanh", "sigm", "hardsigm")
    },
    "conv 1": (lambda: convolutional([3, 1]), 0.5),
    "conv 2": (lambda: convolutional([3, 2, 1], "hardsigm"), 0.3),
    "conv 3": (lambda: convolutional([4, 3, 2, 1], "hardsigm", (4, 6), padding=True), 0.5),
    "skips 0": (lambda: small_world(0.0, False), 0.4),
    "skips 0.3": (lambda: small_world(0.3, False), 0.4),
    "intra": (lambda: small_world(0.0, True), 0.3),
    "intra and skips": (lambda: small_world(0.3, True), 0.3),
    "asymmetric": (lambda: AsymmetricEP(12, 6, 4, std=0.3), 1.0),
    "asymmetric, layered": (lambda: AsymmetricEP(12, [7, 6], 4, layered=True, std=0.3), 1.0),
    "asymmetric, three": (lambda: AsymmetricEP(12, 6, 4, n_nets=3, std=0.3), 1.0),
}
every_network = pytest.mark.parametrize("name", NETS)


def built(name, factor=None):
    build, small = NETS[name]
    net = build().double()
    with torch.no_grad():
        for w in net.weights:
            w.mul_(small if factor is None else factor)
    return net


def samples(name, n=7, seed=0):
    """Data (n, ...) and one-hot targets (n, 4) of a network."""
    generator = torch.Generator().manual_seed(seed)
    shape = IMAGE if name.startswith("conv") else (12,)
    x = torch.rand(n, *shape, generator=generator, dtype=torch.float64)
    return x, torch.eye(4, dtype=torch.float64)[torch.arange(n) % 4]


def to_rest(name):
    """So many steps as bring a network to rest, within 1e-9."""
    return 200 if name.startswith("conv") else 1500 if name.startswith("asymmetric") else 500


def distance(a, b):
    return max((v - w).abs().max().item() for v, w in zip(a, b, strict=True))


def stepped_beta(net, beta):
    """The nudge of steps that ends where one of sweeps does.

    Layer-skipping networks, as published, first move the output by dt, and then by 2 dt beta
    towards the target, which at rest pulls like a nudge of beta / (1 - 2 dt beta).
    """
    return beta / (1 + 2 * net.dt * beta) if isinstance(net, SmallWorldEP) else beta


# Where sweeps end -------------------------------------------------------------------------------


@every_network
@torch.no_grad()
def test_sweeps_end_where_many_steps_end(name):
    net = built(name)
    x, y = samples(name)
    drive = net.drive(x)
    T = to_rest(name)
    by_steps = net(drive, net.initHidden(drive), T)
    free = relax(net, drive, net.initHidden(drive), FINE)
    assert free.sweeps.max() < FINE.limit and free.residual.max() <= 1e-12
    assert distance(by_steps, free.state) < 1e-9
    for beta in (0.4, -0.3):
        by_steps = net(drive, free.state, T, y, stepped_beta(net, beta))
        nudged = relax(net, drive, free.state, FINE, y, beta)
        assert distance(by_steps, nudged.state) < 1e-9
        assert distance(nudged.state, free.state) > 1e-3


@every_network
@torch.no_grad()
def test_a_step_hardly_moves_what_is_at_rest(name):
    net = built(name)
    drive = net.drive(samples(name)[0])
    found = relax(net, drive, net.initHidden(drive), Search(200, 1e-5))
    assert distance(found.state, net(drive, found.state, 1)) < 1e-4


@torch.no_grad()
def test_the_places_of_the_maxima_belong_to_the_state():
    for name in ("conv 1", "conv 2", "conv 3"):
        net = built(name)
        drive = net.drive(samples(name)[0])
        found = relax(net, drive, net.initHidden(drive), FINE)
        again = net.stepper(drive, found.state)
        pairs = zip(found.state.positions, again.positions, strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@every_network
@torch.no_grad()
def test_the_state_that_came_in_is_left_as_it_was(name):
    net = built(name)
    x, y = samples(name)
    drive = net.drive(x)
    start = net(drive, net.initHidden(drive), 3)
    copies = [v.clone() for v in start]
    found = relax(net, drive, start, Search(4), y, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(start, copies, strict=True))
    assert distance(found.state, start) > 0


@torch.no_grad()
def test_without_sweeps_a_state_stays():
    net = built("EPdisc 2h tanh")
    drive = net.drive(samples("")[0])
    start = net(drive, net.initHidden(drive), 3)
    assert distance(relax(net, drive, start, Search(0)).state, start) == 0


# Energy -----------------------------------------------------------------------------------------


def energy(net, data, s, target, beta):
    """|s|^2 / 2 - sum_ij rho_i W_ij rho_j - b rho + beta |y - s_0|^2 / 2, per sample (batch,)."""
    signals = [net.rho(v) for v in s] + [net.rho(data)]
    total = sum(v.square().sum(1) for v in s) / 2
    for (i, j), (w, b) in zip(net.links, net.synapses, strict=True):
        total = total - ((signals[j] @ w.t() + b) * signals[i]).sum(1)
    return total + beta * (target - s[0]).square().sum(1) / 2


@pytest.mark.parametrize("factor", [1.0, 8.0])
@pytest.mark.parametrize("beta", [0.0, 0.7, -0.5])
@pytest.mark.parametrize("activation", ["sigm", "tanh", "hardsigm"])
@pytest.mark.parametrize("kind", ["toy", "2h", "3h"])
@torch.no_grad()
def test_no_plain_sweep_raises_the_energy(kind, activation, beta, factor):
    if kind == "toy":
        net = toyEPcont(SIZES["1h"], activation)
    else:
        net = EPcont(SIZES[kind], activation, exact_output=True)
    net = net.double()
    for w in net.weights:
        w.mul_(factor)
    x, y = samples(kind, 40)
    drive = net.drive(x)
    s = [torch.rand_like(v) for v in net.initHidden(drive)]
    energies = [energy(net, x, s, y, beta)]
    for _ in range(25):
        s = relax(net, drive, s, Search(1, omega=1.0), y, beta).state
        energies.append(energy(net, x, s, y, beta))
    rises = torch.stack(energies).diff(dim=0)
    assert rises.max() < 1e-10 and rises.sum(0).max() < -1e-3


# What EP makes of it ----------------------------------------------------------------------------


def update_by(net, x, y, beta, phases):
    drive = net.drive(x)
    free, nudged = phases(drive, beta)
    return torch.cat(
        [g.flatten() for p in net.computeGradients(drive, free, nudged, beta) for g in p]
    )


def relaxed_phases(net, y):
    def phases(drive, beta):
        free = relax(net, drive, net.initHidden(drive), Search(500, 1e-14)).state
        return free, relax(net, drive, free, Search(500, 1e-13, least=12), y, beta).state

    return phases


@pytest.mark.parametrize("name", ["toy tanh", "toy sigm", "exact", "skips 0.3", "intra and skips"])
def test_the_update_meets_the_gradient_as_beta_shrinks(name):
    if name == "exact":
        net = EPcont(SIZES["2h"], "tanh", exact_output=True).double()
    else:
        net = built(name)
    x, y = samples(name)
    _, gradients = bptt_gradients(net, x, y, 500, 200)
    gradient = -torch.cat([g.flatten() for pair in gradients for g in pair])
    for beta, bound in ((1e-4, 1e-3), (-1e-4, 1e-3), (1e-6, 1e-5)):
        with torch.no_grad():
            update = update_by(net, x, y, beta, relaxed_phases(net, y))
        assert (update - gradient).norm() < bound * gradient.norm()


@pytest.mark.parametrize("name", [n for n in NETS if "three" not in n])
@torch.no_grad()
def test_the_update_is_that_of_steps_to_rest(name):
    net = built(name)
    x, y = samples(name)
    beta, T = 0.2, to_rest(name)

    def phases(drive, beta):
        free = net(drive, net.initHidden(drive), T)
        return free, net(drive, free, T, y, stepped_beta(net, beta))

    by_steps = update_by(net, x, y, beta, phases)
    by_sweeps = update_by(net, x, y, beta, relaxed_phases(net, y))
    assert (by_steps - by_sweeps).norm() < 1e-8 * by_steps.norm()


# Company ----------------------------------------------------------------------------------------


@every_network
@torch.no_grad()
def test_no_sample_depends_on_its_company(name):
    net = built(name)
    n = 9 if name.startswith("asymmetric") else 150
    x, y = samples(name, n)
    axis = 1 if "three" in name else 0
    start = net.initHidden(net.drive(x))
    ended = relax(net, net.drive(x), start, Search(200, 1e-10)).state
    early = torch.arange(0, n, 3)  # these begin where they end
    begun = [
        v.index_copy(axis, early, e.index_select(axis, early))
        for v, e in zip(start, ended, strict=True)
    ]

    def both(rows):
        drive = net.drive(x[rows])
        start = [v.index_select(axis, rows) for v in begun]
        free = relax(net, drive, start, Search(100, 1e-6))
        return free, relax(net, drive, free.state, Search(100, 1e-6), y[rows], 0.5)

    everybody = both(torch.arange(n))
    for rows in (torch.arange(9), torch.tensor([4])):
        for found, among in zip(both(rows), everybody, strict=True):
            assert torch.equal(found.sweeps, among.sweeps.index_select(axis, rows))
            others = [v.index_select(axis, rows) for v in among.state]
            assert distance(found.state, others) < 1e-13
            residual = among.residual.index_select(axis, rows)
            assert torch.allclose(found.residual, residual, atol=1e-13)
    assert len(everybody[0].sweeps.unique()) > 1 or "0h" in name  # a layer alone rests at once


@pytest.mark.parametrize("name", ["EPdisc 3h hardsigm", "EPcont 1h sigm clamp ", "conv 2", "intra"])
@torch.no_grad()
def test_samples_at_rest_leave_a_large_batch(name, monkeypatch):
    left = []

    class Watched(solvers.Sweeps):
        def __init__(self, net, drive, s, target, beta, rows=None):
            super().__init__(net, drive, s, target, beta, rows)
            left.append(len(s[0]))

    monkeypatch.setattr(solvers, "Sweeps", Watched)
    net = built(name)
    x, _ = samples(name, 200)
    x *= torch.linspace(0, 3, 200, dtype=torch.float64).view(-1, *[1] * (x.dim() - 1))
    drive = net.drive(x)
    found = relax(net, drive, net.initHidden(drive), Search(300, 1e-9))
    assert left[0] == 200 and len(left) > 1 and left[-1] < 150
    never = net.relaxing._replace(shrink_from=1000)
    monkeypatch.setattr(type(net), "relaxing", property(lambda net: never))
    stayed = relax(net, drive, net.initHidden(drive), Search(300, 1e-9))
    assert left[-1] == 200
    assert torch.equal(found.sweeps, stayed.sweeps)
    assert distance(found.state, stayed.state) < 1e-13
    if name.startswith("conv"):
        pairs = zip(found.state.positions, stayed.state.positions, strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@torch.no_grad()
def test_waiting_longer_for_what_a_look_shows_changes_nothing(monkeypatch):
    net = built("EPdisc 2h tanh", 1.0)
    drive = net.drive(samples("", 30)[0])
    now = relax(net, drive, net.initHidden(drive), Search(100, 1e-6))
    monkeypatch.setattr(solvers, "read_every", lambda device: 10)
    later = relax(net, drive, net.initHidden(drive), Search(100, 1e-6))
    assert torch.equal(now.sweeps, later.sweeps) and torch.equal(now.residual, later.residual)
    assert distance(now.state, later.state) == 0


# The output under the nudge -----------------------------------------------------------------------


def test_a_concave_output_goes_to_the_lower_bound_of_its_energy():
    received = torch.rand(50, 3, dtype=torch.float64) * 2 - 0.5
    target = torch.rand(50, 3, dtype=torch.float64)
    for pull in (-1.0, -1.5, -4.0, 0.3, 3.0, -0.6):
        found = solvers.nudged_output(received, target, pull, True)
        grid = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None, None]
        energies = (1 + pull) / 2 * grid**2 - (received + pull * target) * grid
        lowest = (1 + pull) / 2 * found**2 - (received + pull * target) * found
        assert (lowest <= energies.amin(0) + 1e-12).all()
        assert ((found >= 0) & (found <= 1)).all()
        if pull <= -1:
            assert ((found == 0) | (found == 1)).all()


@pytest.mark.parametrize("name", ["EPdisc 1h sigm", "EPcont 3h sigm free ", "conv 1"])
@torch.no_grad()
def test_an_unbounded_output_is_not_pushed_for_ever(name):
    net = built(name)
    x, y = samples(name)
    drive = net.drive(x)
    with pytest.raises(ValueError, match="a nudge of -1.2 .* no equilibrium"):
        relax(net, drive, net.initHidden(drive), Search(10), y, -1.2)


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "search, message",
    [
        (Search(9, omega=0.0), "omega is 0: .* between 0 and 2"),
        (Search(9, omega=2.0), "omega is 2: .* between 0 and 2"),
        (Search(9, omega=-1.0), "omega is -1: .* between 0 and 2"),
        (Search(9, omega=float("nan")), "omega is nan: .* between 0 and 2"),
        (Search(9, tol=0.0), "tolerance is 0: .* above 0"),
        (Search(9, tol=-1e-3), "tolerance is -0.001: .* above 0"),
        (Search(9, tol=float("nan")), "tolerance is nan: .* above 0"),
    ],
)
def test_what_cannot_converge_is_said(search, message):
    net = EPdisc(SIZES["1h"])
    drive = net.drive(torch.rand(3, 12))
    with pytest.raises(ValueError, match=message):
        relax(net, drive, net.initHidden(drive), search)


def test_what_has_no_rest_is_refused():
    net = DEEP(2, 5, 1)
    drive = net.drive(torch.rand(3, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="DEEP cannot be relaxed: its dynamics conserve sums"):
        relax(net, drive, net.initHidden(drive), Search(9))


# In the rules -------------------------------------------------------------------------------------


def plan(net, **changes):
    options = {"T": 60, "Kmax": 8, "beta": 0.3, "lr_tab": [0.1] * len(net.synapses)}
    return Schedule(**(options | changes))


def taught(name, rule, **changes):
    """The lesson of a batch, and the weights after it."""
    net = built(name)
    lesson = rule.learn(net, *samples(name), plan(net, **changes))
    return lesson, [p.detach() for pair in net.synapses for p in pair]


RELAX = {"solver": "relax", "tol": 1e-11, "max_sweeps": 500}
LAYERED = [name for name in NETS if not name.startswith("asymmetric")]


@pytest.mark.parametrize("name", LAYERED)
def test_the_rules_learn_from_what_the_solver_finds(name):
    untaught = [p.detach() for pair in built(name).synapses for p in pair]
    T = 200 if name.startswith("conv") else 800
    for rule in (EP, BPTT):
        _, by_steps = taught(name, rule, T=T)
        _, by_sweeps = taught(name, rule, nudged="step", **RELAX)
        assert distance(by_steps, by_sweeps) < 1e-9 < 1e-4 < distance(by_steps, untaught)


def test_only_what_was_relaxed_is_measured():
    free, nudged = (
        {f"{name}_{phase}{end}" for name in ("sweeps", "residual") for end in ("", "_worst")}
        for phase in ("free", "nudged")
    )
    assert not taught("EPdisc 2h tanh", EP)[0].measures
    assert not taught("EPdisc 2h tanh", BPTT)[0].measures
    assert set(taught("EPdisc 2h tanh", BPTT, **RELAX)[0].measures) == free
    assert set(taught("EPdisc 2h tanh", EP, nudged="step", **RELAX)[0].measures) == free
    measures = taught("EPdisc 2h tanh", EP, nudged="relax", nudged_sweeps=7, **RELAX)[0].measures
    assert set(measures) == free | nudged
    assert measures["sweeps_nudged"] == 7 and 4 < measures["sweeps_free"] < 200
    assert measures["residual_free"] <= 1e-11 < measures["residual_nudged"]


def test_a_schedule_leaves_to_the_network_what_it_does_not_say(monkeypatch):
    asked = []

    def record(net, drive, s, search, target=None, beta=0.0):
        asked.append((search, beta))
        return Solution(s, torch.zeros(7), torch.zeros(7))

    monkeypatch.setitem(solvers.SOLVERS, "relax", record)
    own = Relaxing(1.1, 1e-4, 33, "relax", (5, 6))
    monkeypatch.setattr(EPdisc, "relaxing", own)
    taught("EPdisc 1h sigm", EP, solver="relax")
    taught("EPdisc 1h sigm", EP, solver="relax", max_sweeps=9, tol=1e-2, omega=1.7, nudged_sweeps=3)
    least = Search(1).least
    assert asked == [
        (Search(33, None, None, least), 0.0),
        (Search(6, None, None, 5), 0.3),
        (Search(9, 1e-2, 1.7, least), 0.0),
        (Search(3, 1e-2, 1.7, 3), 0.3),
    ]


@torch.no_grad()
def test_a_test_tells_how_far_it_is_from_rest():
    net = built("EPdisc 2h tanh")
    x, y = samples("")
    fine, rough = (rest(net, x, y, plan(net, solver="relax", tol=tol)) for tol in (1e-9, 0.1))
    assert fine.measures["residual"] <= 1e-9 < rough.measures["residual"] <= 0.1
    assert fine.measures["sweeps"] > rough.measures["sweeps"] >= 4
    assert torch.equal(fine.output, fine.state[0])


def test_a_test_may_take_more_sweeps_than_learning():
    torch.manual_seed(0)
    net = SmallWorldEP(wire_up([3, 30, 30, 4], 0.3))
    x, y = torch.rand(3, 4), torch.rand(3, 3)
    net.relaxing = Relaxing(max_sweeps=2, test_sweeps=5, tol=1e-30)
    schedule = Schedule(9, 2, 0.5, [0.1] * 3, solver="relax")
    learnt, tested = EP.learn(net, x, y, schedule), rest(net, x, y, schedule)
    assert learnt.measures["sweeps_free"] == 2 and tested.measures["sweeps"] == 5
    asked = rest(net, x, y, dataclasses.replace(schedule, max_sweeps=4))
    assert asked.measures["sweeps"] == 4


@torch.no_grad()
def test_steps_say_how_many_they_were():
    net = built("EPcont 1h sigm clamp ")
    drive = net.drive(samples("")[0])
    exact = step(net, drive, net.initHidden(drive), Search(37))
    assert exact.sweeps == 37 and exact.residual is None
    assert distance(exact.state, net(drive, net.initHidden(drive), 37)) == 0
    settled = step(net, drive, net.initHidden(drive), Search(5000, 1e-8))
    assert 37 < settled.sweeps < 5000 and settled.residual.max() <= 1e-8
    assert distance(settled.state, net(drive, net.initHidden(drive), settled.sweeps)) == 0


def test_asymmetric_networks_learn_from_their_rest():
    x, y = samples("", 4)
    taught = []
    for solver in ("step", "relax"):
        net = AsymmetricEP(12, 6, 4, n_nets=3, std=0.3)
        settings = Schedule(4000, 4000, 0.5, [1.0], solver=solver, tol=1e-12, max_sweeps=500)
        settings = SimpleNamespace(**vars(settings) | {"nudged_sweeps": 200})
        lesson = learn_by_directed(net, x, y, settings)
        taught.append((net.W.detach(), lesson.measures))
    assert torch.allclose(taught[0][0], taught[1][0], atol=1e-9)
    for name in ("mse_free", "mse_nudged", "force_free", "force_nudged"):
        assert torch.allclose(taught[0][1][name], taught[1][1][name], atol=1e-9)
    assert taught[1][1]["residual"].max() < 1e-9 and taught[1][1]["steps_free"].max() < 200


# Another device -----------------------------------------------------------------------------------


@pytest.mark.gpu
@every_network
@torch.no_grad()
def test_a_gpu_finds_the_same(name):
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device: what a GPU finds is not compared")
    found = []
    for device in ("cpu", "cuda"):
        net = built(name).to(device)
        x, y = (v.to(device) for v in samples(name, 100))
        drive = net.drive(x)
        free = relax(net, drive, net.initHidden(drive), Search(300, 1e-10))
        nudged = relax(net, drive, free.state, Search(300, 1e-10, least=12), y, 0.5)
        found.append([v.cpu() for v in (*free.state, *nudged.state)])
    assert distance(*found) < 1e-8


def test_an_epoch_says_how_long_it_took_to_rest_and_how_near_it_came(tmp_path, capsys):
    words = ["--dataset", "digits", "--discrete", "--size_tab", 10, 12, 64, "--batch-size", 500]
    commands.call(*words, "--epochs", 2, "--results-dir", tmp_path)
    printed = capsys.readouterr().out
    assert "phases: free ones relaxed to 0.001" in printed
    said = re.findall(r"([\d.]+) \((\d+)\) \+ .*residual (\S+) \((\S+)\) \+ ", printed)
    with np.load(commands.only_run(tmp_path) / "results.npz") as arrays:
        names = ("sweeps_free", "sweeps_free_worst", "residual_free", "residual_free_worst")
        stored = np.stack([arrays[f"EP_{name}"] for name in names])
        nudged = arrays["EP_sweeps_nudged"], arrays["EP_residual_nudged_worst"]
    assert stored.shape == (4, 2) and all(values.shape == (2,) for values in nudged)
    assert [[float(v) for v in line] for line in said] == [
        [float(f"{a:.1f}"), b, float(f"{c:.0e}"), float(f"{d:.0e}")] for a, b, c, d in stored.T
    ]
    assert (stored[0] <= stored[1]).all() and (stored[2] < stored[3]).all()
    assert (stored[3] <= 1e-3).all()
    commands.call("--action", "report", tmp_path)
    table = (tmp_path / "report.md").read_text()
    assert f"{stored[0].mean():.1f}" in table and "Sweeps" in table
    commands.call(*words, "--T", 5, "--Kmax", 2, "--results-dir", tmp_path / "stepped")
    assert "sweeps" not in capsys.readouterr().out
    commands.call("--action", "report", tmp_path / "stepped")
    assert "Sweeps" not in (tmp_path / "stepped" / "report.md").read_text()


@pytest.mark.parametrize("name", ["EPdisc 2h tanh", "EPcont 1h sigm clamp "])
@torch.no_grad()
def test_by_sweeps_a_nudge_of_the_other_sign_takes_the_output_as_far_away(name):
    """Of what it receives, held where it is: EP's own estimate then leans to neither side."""
    net = built(name)
    pulls = [net.nudge_gain * beta for beta in (1.0, other_sign(net, plan_of_sweeps(1.0)))]
    received, target = torch.full((1, 1), 0.4), torch.full((1, 1), 0.7)
    ahead, back = (nudged_output(received, target, pull, False) for pull in pulls)
    assert torch.allclose(ahead - received, received - back)
    again = other_sign(net, plan_of_sweeps(pulls[1] / net.nudge_gain))
    assert again == pytest.approx(1.0)
    assert other_sign(net, plan_of_sweeps(-0.5)) == 0.5  # no pull goes as far the other way
    assert other_sign(net, dataclasses.replace(plan_of_sweeps(1.0), nudged="step")) == -1.0
    assert other_sign(net, Schedule(4, 2, 1.0, [0.1])) == -1.0


def plan_of_sweeps(beta):
    return Schedule(4, 2, beta, [0.1], solver="relax", nudged="relax")
