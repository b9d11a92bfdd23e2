"""The exact gradient at an equilibrium, and the audit that sets every rule beside it."""

import json

import commands
import numpy as np
import pytest
import torch
from commands import refuses

from netClasses import EPcont, EPdisc, LayeredNetwork, convEP, toyEPcont
from networks import implicit
from networks.audit import EXACT, audit, compared
from networks.directed import DEEP, AsymmetricEP
from networks.gradients import gradients_through
from networks.implicit import adjoint_gradient, equilibrium_gradient, find_rest
from networks.schedule import Schedule
from networks.smallWorld import SmallWorldEP
from networks.topology import wire_up

pytestmark = pytest.mark.long

SIZES = [3, 5, 5, 4]


def inside(net, scale=0.4, bias=0.4):
    """The network with weights so small and biases so high that no unit rests at a bound."""
    with torch.no_grad():
        for w, b in net.synapses:
            w.mul_(scale)
            b.fill_(bias)
    return net


EXACT_NETS = {  # where theory promises the gradient
    "exact output": lambda: EPcont(SIZES, "tanh", 0.5, exact_output=True, clamp=False),
    "straight": lambda: inside(EPcont(SIZES, "hardsigm", 0.5)),
    "toy": lambda: toyEPcont([3, 5, 4], "tanh", 0.5, clamp=False),
    "prototypical": lambda: inside(EPdisc(SIZES, "hardsigm"), bias=0.3),
    "convolutional": lambda: inside(
        convEP([3, 4], [3, 2, 1], (6, 6), "hardsigm", Fconv=3, padding=True), bias=0.2
    ),
    "softmax, prototypical": lambda: EPdisc(SIZES, "sigm", loss="cross-entropy"),
    "softmax, energy-based": lambda: EPcont(SIZES, "tanh", 0.5, clamp=False, loss="cross-entropy"),
    "softmax, convolutional": lambda: inside(
        convEP([3], [3, 2, 1], (6, 6), "hardsigm", Fconv=3, padding=True, loss="cross-entropy"),
        bias=0.2,
    ),
    "small world": lambda: inside(SmallWorldEP(wire_up(SIZES, 0.2)), 0.5, 0.2),
    "links inside": lambda: inside(SmallWorldEP(wire_up(SIZES, 0.2, intra=True)), 0.5, 0.2),
}
FLOORED = {
    "published output": lambda: EPcont(SIZES, "sigm", 0.5),
    "rho' left out": lambda: EPdisc(SIZES, "sigm"),
    "asymmetric": lambda: AsymmetricEP(4, 4, 3, dt=0.5, std=0.4, highest_start=0.5),
    "directed": lambda: DEEP(4, 4, 3, dt=0.5, std=0.3, seed=3),
}
NETS = EXACT_NETS | FLOORED


def lesson(name):
    """Samples and targets that the network of this name can be taught."""
    generator = torch.Generator().manual_seed(1)
    shape = (3, 1, 6, 6) if "convolutional" in name else (3, 4)
    data = torch.rand(*shape, generator=generator, dtype=torch.float64)
    return data, torch.eye(3, dtype=torch.float64)


def plan(**settings):
    return Schedule(
        **{"T": 60, "Kmax": 20, "beta": 0.05, "lr_tab": [], "dtype": torch.float64} | settings
    )


def audited(name, **settings):
    data, target = lesson(name)
    return audit(NETS[name]().double(), data, target, plan(**settings))


# The reference -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_implicit_differentiation_is_bptt_without_end(name):
    net, (data, target) = NETS[name]().double(), lesson(name)
    found = equilibrium_gradient(net, data, target, "step")
    assert found.gap < implicit.RESTS and found.error < implicit.SOLVED
    data, target = data[found.rows], target[found.rows]
    _, pairs = gradients_through(net, data, target, found.state, 250)
    exact, long = (torch.cat([v.flatten() for p in ps for v in p]) for ps in (found.pairs, pairs))
    if name != "directed":  # whose outputs are held at bounds
        assert long.norm() > 1e-3
    assert (exact - long).norm() <= 1e-9 * long.norm()


@pytest.mark.parametrize("name", ["toy", "convolutional", "asymmetric"])
def test_a_large_adjoint_is_solved_without_its_matrix(name, monkeypatch):
    net, (data, target) = NETS[name]().double(), lesson(name)
    s, speed, _ = find_rest(net, data, "relax")
    assert speed.max() < implicit.RESTS
    directly, _, way = adjoint_gradient(net, data, target, s)
    monkeypatch.setattr(implicit, "DENSE", 0)
    pairs, errors, other = adjoint_gradient(net, data, target, s)
    assert (way, other) == ("directly", "by GMRES") and errors.max() < implicit.SOLVED
    for a, b in zip(directly, pairs, strict=True):
        for v, w in zip(a, b, strict=True):
            assert torch.allclose(v, w, rtol=0, atol=1e-10)


@pytest.mark.parametrize("tries, way", [(4, "by GMRES"), (0, "directly")])
def test_what_gmres_does_not_solve_is_solved_directly(tries, way, monkeypatch):
    net, (data, target) = NETS["prototypical"]().double(), lesson("prototypical")
    monkeypatch.setattr(implicit, "FEW", 0)
    monkeypatch.setattr(implicit, "TRIES", tries)
    found = equilibrium_gradient(net, data, target)
    assert found.way == way and found.error < implicit.SOLVED


def test_samples_that_never_rest_are_left_out_and_told():
    """Units that excite each other by -4 with dt 1 swing with period 2 when they are stepped."""
    net = EPdisc([1, 1, 1], "tanh").double()
    with torch.no_grad():
        for (w, b), (weight, bias) in zip(net.synapses, ((-3.0, 0.5), (1.0, 0.5)), strict=True):
            w.fill_(weight)
            b.fill_(bias)
    data, target = torch.tensor([[0.0], [-9.0]]).double(), torch.ones(2, 1).double()
    found = audit(net, data, target, plan())
    assert found.references["step"].rows.tolist() == [1]
    assert "stepping: 1 of 2 samples at rest" in found.text()
    alone = audit(net, data[:1], target[:1], plan())
    assert alone.references["step"] is None
    assert "stepping: no sample comes to rest" in alone.text()


# The audit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXACT_NETS)
def test_where_theory_promises_the_gradient_every_limit_is_it(name):
    found = audited(name)
    assert not found.floor and not found.flaw
    limits = found.of("limit")
    assert {row.case.nudge for row in limits} == {"fixed +", "fixed -", "both", "linear"}
    assert {row.case.solver for row in limits} == {"step", "relax"}
    for row in limits:
        assert (row.cosine > EXACT).all() and np.allclose(row.norm_ratio, 1, atol=1e-3)
        assert (row.equal_signs > 99).all() and row.away < 1e-8
    assert all(row.cosine[0] > 0.9 for row in found.of("as set") if row.case.solver == "step")


@pytest.mark.parametrize("name", FLOORED)
def test_where_it_does_not_the_reason_is_told(name):
    found = audited(name)
    assert found.floor and not found.flaw
    for row in found.of("limit"):
        if row.case.nudge == "linear" and name != "directed":  # whose gradient is 0
            assert (row.cosine > EXACT).all() and np.allclose(row.norm_ratio, 1, atol=1e-3)
    solvers = {row.case.solver for row in found.rows}
    assert solvers == ({"step"} if name == "directed" else {"step", "relax"})


def test_an_output_at_a_bound_is_a_reason():
    net = inside(EPdisc(SIZES, "hardsigm"), bias=0.3).double()
    data, target = lesson("prototypical")
    with torch.no_grad():
        net.biases[0][1] = -3.0
    assert "bound" in audit(net, data, target, plan()).floor


def test_the_network_is_left_as_it_is():
    net = NETS["small world"]().double()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    audit(net, *lesson("small world"), plan())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_single_precision_is_measured_as_it_is_taught():
    net, (data, target) = NETS["toy"](), lesson("toy")
    found = audit(net, data.float(), target.float(), plan(dtype=torch.float32))
    assert not found.flaw and all(row.cosine[0] > 0.9 for row in found.of("as set"))


# Defects -----------------------------------------------------------------------------------------


def scaled(factor):
    """Updates of another size."""

    def break_it(patch, kind):
        plain = kind.learn

        def learn(self, drive, s_free, s_nudged, beta, lr_tab, *rest):
            rates = [factor * lr for lr in lr_tab]
            return plain(self, drive, s_free, s_nudged, beta, rates, *rest)

        patch.setattr(kind, "learn", learn)

    return break_it


def wrong_denominator(patch, kind):
    plain = kind.learn

    def learn(self, drive, s_free, s_nudged, beta, lr_tab, *rest):
        return plain(self, drive, s_free, s_nudged, 2 * beta, lr_tab, *rest)

    patch.setattr(kind, "learn", learn)


def stale_free_state(patch, kind):
    plain = kind.learn

    def learn(self, drive, s_free, s_nudged, beta, lr_tab, *rest):
        old = self(drive, self.initHidden(drive), 3)
        return plain(self, drive, old, s_nudged, beta, lr_tab, *rest)

    patch.setattr(kind, "learn", learn)


def layer_not_updated(patch, kind):
    plain = kind.learn

    def learn(self, drive, s_free, s_nudged, beta, lr_tab, *rest):
        rates = [*lr_tab[:1], 0.0, *lr_tab[2:]]
        return plain(self, drive, s_free, s_nudged, beta, rates, *rest)

    patch.setattr(kind, "learn", learn)


def dropped_bias(patch, kind):
    plain = kind.add_contrast

    def add_contrast(self, pairs, *rest):
        plain(self, [(w, b.clone()) for w, b in pairs], *rest)

    patch.setattr(kind, "add_contrast", add_contrast)


def transposed_weight(patch, kind):
    plain = kind.wire

    def wire(self, constants):
        drive = plain(self, constants)
        links = [
            [(j, m.t() if j < i and m.shape[0] == m.shape[1] else m) for j, m in row]
            for i, row in enumerate(drive.links)
        ]
        return drive._replace(links=links)

    patch.setattr(LayeredNetwork, "wire", wire)


def unsettled_phase(patch, kind):
    plain = kind.forward

    def forward(self, drive, s, steps, target=None, beta=0.0, observe=None):
        return plain(self, drive, s, steps if target is not None else 4, target, beta, observe)

    patch.setattr(kind, "forward", forward)


def nudge_of_the_wrong_sign(patch, kind):
    plain = kind.nudge

    def nudge(self, s, target, beta):
        pull = plain(self, s, target, beta)
        return None if pull is None else -pull

    patch.setattr(kind, "nudge", nudge)


def places_of_the_wrong_phase(patch, kind):
    plain = kind.phi_gradient

    def phi_gradient(self, drive, s):
        start = self.stepper(drive, self.initHidden(drive))
        return plain(self, drive, type(s)(s, start.positions))

    patch.setattr(kind, "phi_gradient", phi_gradient)


def nudged_state_first(patch, kind):
    """The contrast as a product of changes, which is of second order."""

    def add_contrast(self, pairs, drive, s_free, s_nudged, scales):
        for (i, j), (w, b), scale in zip(self.links, pairs, scales, strict=True):
            change = self.signal(s_nudged[i]) - self.signal(s_free[i])
            b.add_(change.sum(0), alpha=scale)
            below = drive.x if j == self.n_layers else self.signal(s_nudged[j])
            w.addmm_(change.t(), below, alpha=scale)

    patch.setattr(kind, "add_contrast", add_contrast)


def one_of_two_phases(patch, kind):
    patch.setattr(kind, "ends", lambda self, s_free, s_minus, s_plus: (s_free, s_plus))


DEFECTS = {
    "wrong sign": ("exact output", scaled(-1.0), "wrong sign"),
    "missing factor 2": ("small world", scaled(0.5), "0.5 times the gradient's norm"),
    "no mean over the batch": ("toy", scaled(3.0), "3 times the gradient's norm"),
    "transposed weight": ("exact output", transposed_weight, "has a cosine of"),
    "dropped bias": ("convolutional", dropped_bias, "the biases of Wfc0 is 0"),
    "unsettled phase": ("toy", unsettled_phase, "the free phase ends"),
    "wrong beta in the denominator": ("toy", wrong_denominator, "0.5 times the gradient's norm"),
    "stale free state": ("exact output", stale_free_state, "DEFECT"),
    "a layer not updated": ("prototypical", layer_not_updated, "the weights of W12 is 0"),
    "nudge of the wrong sign": ("exact output", nudge_of_the_wrong_sign, "wrong sign"),
    "pooling places of the wrong phase": ("convolutional", places_of_the_wrong_phase, "DEFECT"),
    "one of two phases": ("toy", one_of_two_phases, "0.5 times the gradient's norm"),
    "half of the contrast": ("prototypical", nudged_state_first, "of W01 has a cosine of"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_caught(defect, monkeypatch):
    """By steps alone: the rule that is broken is the same after sweeps."""
    name, break_it, expected = DEFECTS[defect]
    break_it(monkeypatch, type(NETS[name]()))
    monkeypatch.setattr(type(NETS[name]()), "restless", "as if it could not be relaxed")
    found = audited(name)
    assert found.flaw.startswith("DEFECT: ") and expected in found.flaw, found.flaw
    assert found.advice() == found.flaw and found.text().endswith(found.flaw)
    assert found.flaw.count(". ") == 0


# Advice ------------------------------------------------------------------------------------------


def cause_of(found, solver):
    """Why the updates of a solver are as poor as they are."""
    rows = [row for row in found.of("as set") if row.case.solver == solver]
    return found.cause(max(rows, key=lambda row: row.cosine[0]))


def test_advice_tells_what_is_amiss():
    assert "Sound: by --beta=" in audited("toy", beta=0.001).advice()
    assert "raise --T" in cause_of(audited("exact output", T=2, Kmax=2, beta=0.01), "step")
    assert "raise --Kmax" in cause_of(audited("exact output", T=200, Kmax=1, beta=0.01), "step")
    assert "lower --beta" in cause_of(audited("toy", beta=5.0, T=99, Kmax=99), "step")
    assert audited("rho' left out").advice().startswith("Use --nudge linear")
    assert audited("toy", beta=0.1).advice().startswith("Use --beta-sign both")


def test_both_signs_are_nearer_to_the_gradient_than_one():
    rows = {row.case.name: row.cosine[0] for row in audited("toy", beta=0.2).of("as set")}
    for solver in ("step", "relax"):
        one = max(rows[f"fixed +, {solver}"], rows[f"fixed -, {solver}"])
        assert one < rows[f"both, {solver}"] < rows[f"linear, {solver}"]


def test_other_rules_are_beside_the_nudges_and_without_a_limit():
    found = audited("exact output", T=200, Kmax=60)
    rules = found.of("other rule")
    assert {row.case.name for row in rules} == {
        *("coupled, step", "coupled, relax", "contrastive, step", "contrastive, relax")
    }
    assert all(0.5 < row.cosine[0] < 0.9999 for row in rules)
    assert not any(row.case.nudge in found.advice() for row in rules)


def test_nothing_has_no_angle():
    one, nothing = torch.tensor([1.0, -2.0, 1e-17]), torch.zeros(3)
    assert compared(-one, one) == pytest.approx((1.0, 1.0, 200 / 3, 100 / 3))
    assert compared(nothing, one)[1] == 0 and np.isnan(compared(nothing, one)[0])
    assert np.isnan(compared(one, nothing)[:2]).all()


# The command -------------------------------------------------------------------------------------

TINY = ["--dataset", "digits", "--size_tab", "10", "6", "64", "--batch-size", "4", "--threads", "1"]


@pytest.mark.figures
def test_the_command_prints_stores_and_draws(tmp_path):
    printed = commands.call("--action", "audit", *TINY, "--beta", 0.1, "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    text = (folder / "audit.txt").read_text()
    record = json.loads((folder / "audit.json").read_text())
    assert text in printed and text.splitlines()[-1] == record["advice"]
    nudges = {"fixed +", "fixed -", "both", "linear", "coupled", "contrastive"}
    assert nudges == {row["nudge"] for row in record["rows"]}
    assert set(record["rows"][0]["groups"]) == {"all", "W01", "W1x"}
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        assert arrays["audit_cosine"].shape == (len(record["rows"]), 3)
        assert arrays["synapses"].tolist() == ["W01", "W1x"]
    assert (folder / "audit.png").exists() and "cosine_fixed_+_step" in (
        folder / "measures.csv"
    ).read_text()
    page = commands.call("--action", "report", tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "Every result folder could be read" in text and "report.html" in page


@pytest.mark.parametrize(
    "words",
    [
        ["--training-method", "DEEP", "--num_net", "2", "--T", "50", "--Kmax", "20"],
        ["--network-type", "MLFF", "--dataset", "wine", "--size_tab", "3", "5", "13"],
        ["--toymodel", "--size_tab", "3", "6", "4"],
    ],
)
def test_a_trained_network_is_audited(words, tmp_path):
    if "--toymodel" not in words:
        commands.call(*words, "--epochs", 1, "--results-dir", tmp_path / "trained")
        checkpoint = commands.only_run(tmp_path / "trained") / "checkpoint.pt"
        words = ["--load", checkpoint]
    commands.call("--action", "audit", *words, "--results-dir", tmp_path / "found")
    assert "rows" in json.loads((commands.only_run(tmp_path / "found") / "audit.json").read_text())


@pytest.mark.parametrize(
    "line, message",
    [
        ("--architecture dense", "--action audit is for equilibrium networks, not for feedforward"),
        ("--solver step", "--solver is not used by --action audit"),
        ("--beta-sign random", "--beta-sign is not used by --action audit"),
        ("--lr_tab 0.1", "--lr_tab is not used by --action audit"),
        ("--epochs 3", "--epochs is not used by --action audit"),
        ("--curves 3", "--curves is not used by --action audit"),
        ("--compile", "--compile is not used by --action audit"),
        ("--training-method DEEP --omega 1.2", "--omega and --max-sweeps are for relaxing"),
        ("--training-method DEEP --num_net 3", "--num_net is not used by --action audit"),
        ("--beta 0", "--beta: '0' is not a number other than 0"),
    ],
)
def test_wrong_audits_are_one_line(line, message, place, capfd):
    refuses(f"--action audit {line}", message, capfd)
