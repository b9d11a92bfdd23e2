"""Directed networks against the published programs' numbers, and what must hold of any of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from goldenCases import GOLDEN, relative_error

from gradientMatching import compare_processes, forward_process, free_trajectory
from networks import directedNetwork, directedRules
from networks.directed import DEEP, AsymmetricEP
from networks.directedParts import Plasticity, connection_mask, prune, pruning_probabilities
from networks.directedReport import cosine_to_descent, loss_gradients
from networks.directedRules import learn_by_directed
from networks.gradients import bptt_gradients
from networks.stability import gershgorin, reduce_coupling, spectral_abscissa, stability

XOR = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
XOR_TARGET = torch.tensor([[0], [1], [1], [0]], dtype=torch.float64)
GRAPHS = ["deep_complete", "deep_layered", "deep_onehot", "asymep_complete", "asymep_layered"]
FULL = [name for name in GRAPHS if name != "deep_onehot"]  # with sparsification and certificate
SYSTEMS = [DEEP, AsymmetricEP]


class Golden:
    """A stored case: its numbers, and a network with its weights."""

    def __init__(self, name, **plasticity):
        with np.load(GOLDEN / f"{name}.npz") as file:
            self.values = {key: file[key] for key in file.files}
        self.name, self.deep = name, name.startswith("deep")
        rule = {k: self.number(k) for k in ("dt_W", "beta_0", "beta_1", "reg_W", "tol_W", "temp")}
        rule = Plasticity(**{k: v for k, v in rule.items() if v is not None} | plasticity)
        build = DEEP if self.deep else AsymmetricEP
        self.net = build(
            self.number("n_input") - self.deep,  # the network adds the bias neuron itself
            self.values["n_hidden"].tolist(),
            self.number("n_output"),
            layered="layered" in name,
            dt=self.number("dt"),
            plasticity=rule,
        )
        with torch.no_grad():
            self.net.W.copy_(self.tensor("W"))
            if not self.deep:
                self.net.biases[0].copy_(self.tensor("B"))
        self.data = self.tensor("x")[:, : self.net.n_x - self.deep]
        self.target = self.tensor("y")
        self.schedule = SimpleNamespace(
            T=self.number("T1"), Kmax=self.number("T2"), beta=self.number("beta")
        )

    def number(self, key):
        return self.values[key].item() if key in self.values else None

    def tensor(self, key):
        return torch.from_numpy(self.values[key])

    def start(self):
        return self.net.layers(self.tensor("S_init")[None])

    def teach(self):
        return learn_by_directed(self.net, self.data, self.target, self.schedule, self.start())

    def phases(self):
        """Both phases by the fast loop, with the published update (weights are left alone)."""
        net, schedule = self.net, self.schedule
        with torch.no_grad():
            drive = net.drive(self.data)
            free = net.run(drive, net.pack(self.start()), schedule.T, stop=net.stop)
            nudged = net.run(drive, free.state, schedule.Kmax, self.target, schedule.beta, net.stop)
            scale = net.scale(schedule.Kmax, schedule.beta, len(self.data))
            update = net.contrast(drive, free.state, nudged.state, nudged.trace)
        return free, nudged, [scale * v for v in update]

    def check(self, actual, key):
        error = relative_error(actual, self.values[key])
        assert error < 1e-9, f"{self.name} {key}: relative error {error:.1e}"

    def check_state(self, state, key):
        """Compare states (1, batch, n_free); the stored ones have the input neurons in front."""
        self.check(torch.cat([self.tensor("x"), state[0]], 1), key)


@pytest.fixture(params=GRAPHS)
def golden(request):
    return Golden(request.param)


# Equivalence ------------------------------------------------------------------------------------


def test_states_and_update(golden):
    free, nudged, (dW, dB) = golden.phases()
    golden.check_state(free.state, "S_free")
    golden.check_state(nudged.state, "S_nudged")
    golden.check(dW[0], "dW")
    if not golden.deep:
        golden.check(dB[0], "dB")


def test_weights_and_measures(golden):
    lesson = golden.teach()
    golden.check(golden.net.W[0], "W_after")
    if not golden.deep:
        golden.check(golden.net.biases[0][0], "B_after")
    golden.check_state(golden.net.pack(lesson.state), "S_free")
    assert lesson.output.shape == (1, 4, golden.net.n_out)
    stored = {
        "force_free": "err_free_last",
        "force_nudged": "err_weak_last",
        "mse_free": "mse_free_last",
        "mse_nudged": "mse_weak_last",
        "error_free": "class_err_free",
        "error_nudged": "class_err_weak",
    }
    for name, key in stored.items():
        if key in golden.values:
            factor = 100 if name.startswith("error") else 1
            golden.check(lesson.measures[name][0] / factor, key)


@pytest.mark.parametrize("name", ["deep_complete", "deep_layered"])
def test_trajectory_step_by_step(name):
    golden = Golden(name)
    net, stored = golden.net, golden.tensor("S_traj_nudged")
    drive = net.drive(golden.data)
    s = net.layers(stored[0, :, net.n_x :][None])
    for state in stored[1:]:
        s = net.stepper(drive, s, golden.target, golden.schedule.beta)
        error = relative_error(net.pack(s).detach()[0], state[:, net.n_x :].numpy())
        assert error < 1e-9


@pytest.mark.parametrize("name", ["deep_complete", "deep_layered"])
def test_other_stdp_parameters(name):
    values = Golden(name)
    rule = {f"beta_{i}": values.number(f"beta_{i}_alt") for i in (0, 1)}
    golden = Golden(name, **rule)
    golden.values["dW_alt"] = golden.values["dW_alt"][:, 3:]  # inputs have no dW here
    golden.check(golden.phases()[2][0][0, :, 3:], "dW_alt")
    golden.teach()
    golden.check(golden.net.W[0], "W_after_alt")


OPTIONS = {
    "W_after_l1": {"regularized": True},
    "W_after_sparse": {"sparse": True},
    "W_after_sign": {"sign": True},
    "W_after_sign_l1": {"sign": True, "regularized": True},
}


@pytest.mark.parametrize(
    "name, key", [(n, k) for n in FULL for k in OPTIONS if "deep" in n or "sign" not in k]
)
def test_options_of_the_update(monkeypatch, name, key):
    golden = Golden(name, **OPTIONS[key])
    if "sparse" in key:  # the start is given: nothing else is drawn
        monkeypatch.setattr(
            directedNetwork, "draw", lambda *args: golden.tensor("sparse_random")[None]
        )
    golden.teach()
    golden.check(golden.net.W[0], key)


def test_sign_of_the_update():
    golden = Golden("deep_complete")
    golden.check(golden.phases()[2][0][0].sign(), "dW_sign")


@pytest.mark.parametrize("name", FULL)
def test_sparsification(name):
    golden = Golden(name)
    before, random = golden.tensor("sparse_W_before"), golden.tensor("sparse_random")
    tol_W, temp = golden.number("tol_W"), golden.number("temp")
    probabilities = pruning_probabilities(before, tol_W, temp)
    golden.check(probabilities, "sparse_probs")
    golden.check(torch.softmax(-before.abs() / temp, 0), "sparse_probs_raw")
    assert np.array_equal(before.abs() > tol_W, golden.values["sparse_strong"])
    assert np.array_equal(probabilities > random, golden.values["sparse_removed"])
    golden.check(prune(before, random, tol_W, temp), "W_after_sparse")


def test_early_stop():
    golden = Golden("deep_complete")
    golden.net.stop = golden.number("stop_tol")
    free, nudged, (dW, _) = golden.phases()
    assert free.steps.tolist() == [golden.number("stop_n_free")]
    assert nudged.steps.tolist() == [golden.number("stop_n_nudged")]
    golden.check_state(free.state, "stop_S_free")
    golden.check_state(nudged.state, "stop_S_nudged")
    golden.check(dW[0], "stop_dW")


@pytest.mark.parametrize("name", FULL)
def test_masks_of_the_cases(name):
    golden = Golden(name)
    golden.check(golden.net.mask, "mask")
    golden.check(golden.tensor("W_init") * golden.net.mask, "W")


@pytest.mark.parametrize("k", range(6))
def test_masks(k):
    with np.load(GOLDEN / "deep_masks.npz") as file:
        n_x, n_out = file[f"dims_{k}"].tolist()
        hidden, layered = file[f"hidden_{k}"].tolist(), bool(file[f"layered_{k}"])
        assert np.array_equal(connection_mask(n_x, hidden, n_out, layered), file[f"mask_{k}"])
        net = AsymmetricEP(n_x, hidden, n_out, layered=layered)
        assert np.array_equal(net.bias_mask, file[f"bias_mask_{k}"])


@pytest.mark.parametrize(
    "name, suffix",
    [(n, s) for n in FULL for s in (("", "_alt", "_after") if "deep" in n else ("", "_small"))],
)
def test_certificate(name, suffix):
    golden = Golden(name)
    with torch.no_grad():
        golden.net.W.copy_(golden.tensor(f"gersh_W{suffix}"))
        found = gershgorin(golden.net.drive(golden.data).coupling)
    for key in ("b0", "b1_row", "b1_column", "first", "second_row", "second_column"):
        if f"gersh_{key}{suffix}" in golden.values:
            golden.check(getattr(found, key)[0].double(), f"gersh_{key}{suffix}")
    for key in ("fails_row", "fails_column"):
        assert getattr(found, key).item() == golden.number(f"gersh_{key}{suffix}")


def closed_case():
    """The stored network without inputs, its free and nudged trajectories."""
    with np.load(GOLDEN / "deep_conservation.npz") as file:
        values = {key: torch.from_numpy(file[key]) for key in file.files}
    net = DEEP(0, 5, 1, bias=False, dt=values["dt"].item())
    with torch.no_grad():
        net.W.copy_(values["W"])
    return net, values


def test_sum_of_rates_is_conserved():
    net, values = closed_case()
    with torch.no_grad():
        drive = net.drive(torch.zeros(3, 0, dtype=torch.float64))
        s = net.layers(values["S_init"][None])
        for beta, steps, name in ((0.0, "T1", "free"), (values["beta"].item(), "T2", "nudged")):
            trajectory = [net.pack(s)[0]]
            for _ in range(values[steps]):
                s = net.stepper(drive, s, values["y"], beta)
                trajectory.append(net.pack(s)[0])
            states = torch.stack(trajectory)
            assert relative_error(states, values[f"S_traj_{name}"].numpy()) < 1e-9
            assert relative_error(states.sum(2), values[f"sum_{name}"].numpy()) < 1e-9
            spread = (states.sum(2) - states[0].sum(1)).abs().max()
            assert spread < 1e-13 if name == "free" else spread > 1e-3


# Properties -------------------------------------------------------------------------------------


def lively(build, n_nets=3, std=0.6, **options):
    """Networks with weights large enough for states in between the bounds and at them."""
    return build(2, options.pop("hidden", 3), 1, n_nets=n_nets, seed=3, std=std, **options)


def lesson_of(net, T=120, Kmax=70, beta=1.5, epoch=1):
    schedule = SimpleNamespace(T=T, Kmax=Kmax, beta=beta, epoch=epoch)
    return learn_by_directed(net, XOR, XOR_TARGET, schedule)


def plain_lesson(net, k, T, Kmax, beta, epoch):
    """One network's lesson by loops over steps, samples and neurons: (W, B) after it."""
    W, rule = net.W[k].detach().numpy().copy(), net.plasticity
    B = net.biases[0][k].detach().numpy()
    deep, n_x = isinstance(net, DEEP), net.n_x
    with torch.no_grad():
        start = net.pack(net.initHidden(net.drive(XOR), epoch))[k].numpy()
    dW, dB = np.zeros_like(W), np.zeros_like(B)
    for sample in range(len(XOR)):
        x = [*XOR[sample].tolist(), 1.0] if deep else XOR[sample].tolist()
        S = np.array([*x, *start[sample]])
        for t in range(T + Kmax):
            if t == T:
                free = S.copy()
            F = np.zeros_like(S)
            for j in range(n_x, len(S)):
                leak = W[j].sum() if deep else 1.0
                F[j] = W[:, j] @ S - leak * S[j] + (0 if deep else B[j])
            F[-1] += (t >= T) * beta * (XOR_TARGET[sample, 0].item() - S[-1])
            before, S = S, S.copy()
            S[n_x:] = np.minimum(np.maximum(S + net.dt * F, 0), 1)[n_x:]
            if deep and t >= T:
                c = rule.beta_0 * S + rule.beta_1 * (S - before)
                dW += np.outer(S, c) / (Kmax * len(XOR))
        if not deep:
            dW += np.outer(free, S - free) / (beta * len(XOR))
            dB += (S - free) / (beta * len(XOR))
    return net.mask.numpy() * (W + rule.dt_W * dW), B + rule.dt_W * dB


@pytest.mark.parametrize("build", SYSTEMS)
def test_lesson_equals_plain_loops(build):
    net = lively(build, plasticity=Plasticity(dt_W=2.0, beta_0=0.3, beta_1=0.8))
    expected = [plain_lesson(net, k, 90, 60, 1.5, epoch=4) for k in range(3)]
    lesson_of(net, 90, 60, epoch=4)
    for k, (W, B) in enumerate(expected):
        assert relative_error(net.W[k], W) < 1e-12
        if B.size:
            assert relative_error(net.biases[0][k], B) < 1e-12


@pytest.mark.parametrize("sizes", [{}, {"hidden": [2, 3], "layered": True}])
@pytest.mark.parametrize("build", SYSTEMS)
@pytest.mark.parametrize("counts", [(3, 10), (1, 3)])
def test_networks_do_not_depend_on_their_batch(build, counts, sizes):
    rule = Plasticity(dt_W=3.0, regularized=True, sparse=True, tol_W=0.05)
    stop = 5.0 if build is DEEP else 2.5
    few, many = (lively(build, n, stop=stop, plasticity=rule, **sizes) for n in counts)
    assert torch.equal(few.W, many.W[: counts[0]])
    steps = set()
    for epoch in range(1, 4):
        lessons = [lesson_of(net, epoch=epoch) for net in (few, many)]
        for name, value in lessons[0].measures.items():
            assert torch.equal(value, lessons[1].measures[name][: counts[0]]), name
        assert torch.equal(lessons[0].output, lessons[1].output[: counts[0]])
        assert torch.equal(few.W, many.W[: counts[0]])
        steps |= set(lessons[1].measures["steps_free"].tolist())
    assert len(steps) > 1  # `stop` was at work


@pytest.mark.parametrize("n_nets", [1, 3])
@pytest.mark.parametrize("build", SYSTEMS)
def test_start_and_test_without_learning(build, n_nets):
    net = lively(build, n_nets)
    before = [p.clone() for p in net.parameters()]
    schedule = SimpleNamespace(T=40, Kmax=10, beta=1.5)
    half = directedRules.rest_directed(net, XOR, XOR_TARGET, schedule)
    whole = directedRules.rest_directed(net, XOR, XOR_TARGET, schedule, start=half.state)
    schedule.T = 80
    expected = directedRules.rest_directed(net, XOR, XOR_TARGET, schedule)
    assert torch.equal(whole.output, expected.output)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    taught = learn_by_directed(net, XOR, XOR_TARGET, schedule)
    for name, value in expected.measures.items():
        if name != "sparsity":
            assert torch.equal(value, taught.measures[name]), name
    assert {v.shape for v in taught.measures.values()} == {(n_nets,)}


def test_classes_are_read_off():
    net = AsymmetricEP(2, 0, 1, n_nets=2)
    target = torch.tensor([[0.0], [1], [1], [0], [1]]).double()
    phase = directedRules.Phase(torch.full((2, 5, 1), 0.5).double(), *[torch.zeros(2)] * 3, None)
    assert directedRules.measures_of(net, phase, target)["error"].tolist() == [40.0, 40.0]
    net = AsymmetricEP(2, 0, 3)
    states = torch.eye(3)[None].double()
    phase = directedRules.Phase(states, *[torch.zeros(1)] * 3, None)
    found = directedRules.measures_of(net, phase, torch.eye(3)[[0, 1, 1]].double())
    assert np.isclose(found["error"].item(), 100 / 3)
    assert np.isclose(found["mse"].item(), 1 / 3)


def test_networks_and_epochs_differ():
    net = lively(DEEP)
    assert not torch.equal(net.W[0], net.W[1])
    drive = net.drive(XOR)
    one, two = (net.pack(net.initHidden(drive, epoch)) for epoch in (1, 2))
    assert not torch.equal(one, two)
    assert not torch.equal(one[0], one[1])
    assert one.min() >= 0
    assert 0.09 < one.max() <= 0.1
    assert not net.pack(lively(DEEP, highest_start=0.0).initHidden(drive)).any()


@pytest.mark.parametrize("build", SYSTEMS)
def test_resting_networks_end_early_without_a_trace(build, monkeypatch):
    rule = Plasticity(dt_W=2.0, beta_0=0.3)
    results = []
    for chunk in (50, 100_000):  # the second never looks before the end
        monkeypatch.setattr(directedNetwork, "CHUNK", chunk)
        net = lively(build, plasticity=rule)
        lesson = lesson_of(net, 3000, 3000)
        results.append((net.W.detach(), lesson))
    (W, lesson), (W_whole, lesson_whole) = results
    assert relative_error(W, W_whole.numpy()) < 1e-12
    for name, value in lesson.measures.items():
        assert torch.allclose(value, lesson_whole.measures[name], atol=1e-12), name


def test_diverged_network_is_frozen_and_the_others_go_on():
    net, alone = lively(DEEP), lively(DEEP)
    with torch.no_grad():
        net.W[1] = 1.5e308 * net.W[1].sign()
    broken = net.W[1].clone()
    for epoch in (1, 2):
        lesson, expected = lesson_of(net, epoch=epoch), lesson_of(alone, epoch=epoch)
        assert lesson.measures["diverged"].tolist() == [0, 1, 0]
        assert torch.equal(net.W[1], broken)
        for k in (0, 2):
            assert torch.equal(net.W[k], alone.W[k])
            assert torch.equal(lesson.output[k], expected.output[k])
    found = stability(net, XOR, lesson.state)
    assert found["abscissa"][0].isfinite()
    again = lively(DEEP)
    again.load_state_dict(net.state_dict())
    assert again.diverged.tolist() == [False, True, False]


def test_weights_that_would_overflow_stay_as_they_were():
    net = lively(DEEP, plasticity=Plasticity(dt_W=1e308))
    before = net.W.clone()
    net.adapt(torch.full_like(before, 1e10), net.biases[0] * 0)
    assert net.diverged.all()
    assert torch.equal(net.W, before)


@pytest.mark.parametrize("temp", [0.1, 5.0])
def test_pruning_probabilities_sum_to_at_most_one(temp):
    W = lively(DEEP, 20, std=0.02).W.detach()
    sums = pruning_probabilities(W, 0.01, temp).sum(-2)
    assert sums.max() <= 1 + 1e-12
    assert sums.min() >= 0
    every = pruning_probabilities(W, np.inf, temp).sum(-2)
    assert torch.allclose(every, torch.ones_like(every))


@pytest.mark.parametrize("build", SYSTEMS)
def test_removed_weights_and_mask(build):
    rule = Plasticity(dt_W=1.0, sparse=True, regularized=True, tol_W=10.0, temp=0.5)
    net = lively(build, 4, plasticity=rule)
    lesson = lesson_of(net)
    assert (net.W * (1 - net.mask) == 0).all()
    zeros = ((net.W == 0) & (net.mask == 1)).sum((1, 2)) / net.mask.sum()
    assert torch.allclose(lesson.measures["sparsity"], 100 * zeros)
    assert zeros.max() > 0


# Stability --------------------------------------------------------------------------------------


def test_certificate_implies_negative_abscissa_of_any_matrix():
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(3000, 5, 5, generator=generator, dtype=torch.float64)
    A -= torch.diag_embed(torch.rand(3000, 5, generator=generator, dtype=torch.float64) * 9)
    found, abscissa = gershgorin(A), spectral_abscissa(A)
    assert 50 < found.stable.sum() < 2500
    assert (found.first & found.second_row).any()
    assert (found.first & found.second_column).any()
    assert (abscissa[found.stable] < 0).all()
    assert (abscissa[~found.stable] > 0).any()
    assert (abscissa[~found.stable] < 0).any()  # the condition is sufficient, not necessary


def test_certificate_of_asymmetric_networks():
    for std in (0.05, 0.15, 0.4):
        net = AsymmetricEP(2, 5, 1, n_nets=300, std=std)
        found = stability(net, XOR, net.initHidden(net.drive(XOR)))
        certified = found["certified_row"] | found["certified_column"]
        assert certified.any() == (std < 0.4)
        assert (found["abscissa_full"][certified] < 0).all()


def test_certificate_of_directed_networks():
    """As printed it never holds, and 0 is an eigenvalue; of the moving neurons it can hold."""
    net = DEEP(2, 5, 1, n_nets=400, std=0.3)
    with torch.no_grad():
        net.W.abs_()
        net.W[200:] *= 0.2
        net.W[200:, -1, -2] = 3.0
    lesson = lesson_of(net)
    found = stability(net, XOR, lesson.state)
    assert not (found["certified_row"] | found["certified_column"]).any()
    assert (found["fails_row"] >= 1).all()
    assert (found["abscissa_full"] > -1e-12).all()
    assert (found["abscissa"][found["certified_reduced"]] < 0).all()


def test_reduced_abscissa_is_that_of_the_rows_left():
    generator = torch.Generator().manual_seed(1)
    A = torch.randn(40, 6, 6, generator=generator, dtype=torch.float64)
    held = torch.rand(40, 6, generator=generator) < 0.5
    held[0] = True
    assert spectral_abscissa(A, held)[0] == -np.inf
    for one, cut, expected in zip(A[1:], held[1:], spectral_abscissa(A, held)[1:], strict=True):
        left = one[~cut][:, ~cut]
        largest = torch.linalg.eigvals(left).real.max() if len(left) else -np.inf
        assert np.isclose(largest, expected)
    assert torch.equal(reduce_coupling(A, torch.zeros_like(held)), A)


@pytest.mark.parametrize("build", SYSTEMS)
def test_small_disturbances_fade_where_the_reduced_abscissa_is_negative(build):
    net = lively(build, 30)
    with torch.no_grad():
        drive = net.drive(XOR)
        state = net.run(drive, net.pack(net.initHidden(drive)), 20_000).state
        found = stability(net, XOR, net.layers(state))
        sound = found["stable"] & (found["speed"] < 1e-9) & (found["abscissa"] < -0.01)
        disturbed = (state + 1e-6 * torch.randn_like(state)).clamp(0, 1)
        later = net.run(drive, disturbed, 40_000).state
    assert sound.any()
    assert (later - state).abs().amax((1, 2))[sound].max() < 1e-9


# Gradients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", SYSTEMS)
def test_gradient_against_finite_differences(build):
    net, T = lively(build, 2), 60
    gradient = loss_gradients(net, XOR, XOR_TARGET, T)
    drive = net.drive(XOR)
    start = net.pack(net.initHidden(drive))

    def losses():
        with torch.no_grad():
            output = net.run(net.drive(XOR), start, T).state[..., -1:]
        return (output - XOR_TARGET).square().sum((1, 2)) / (2 * len(XOR))

    step = 1e-6
    for parameter, found in zip(net.synapses[0], gradient, strict=True):
        allowed = net.mask if parameter.dim() == 3 else net.bias_mask
        if not parameter.numel():
            continue
        assert (found * (1 - allowed) == 0).all()
        for place in (allowed > 0).nonzero().tolist():
            index = (slice(None), *place)
            sides = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[index] += sign * step
                    sides.append(losses())
                    parameter[index] -= sign * step
            assert torch.allclose(found[index], (sides[0] - sides[1]) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("build", SYSTEMS)
def test_gradients_are_those_of_the_common_machinery(build):
    net = lively(build, 1)
    both = (loss_gradients(net, XOR, XOR_TARGET, 60, K) for K in (20, 60))
    for K, found in zip((20, 60), both, strict=True):
        _, gradients = bptt_gradients(net, XOR, XOR_TARGET, 60, K)
        for a, b in zip(found, gradients[0], strict=True):
            assert torch.allclose(a, b, atol=1e-14)


@pytest.mark.filterwarnings("ignore:std:UserWarning")  # of a layer of one unit
@pytest.mark.parametrize("build", SYSTEMS)
def test_both_processes(build):
    net, T, K, beta = lively(build, 1, std=0.2), 400, 30, 0.1
    trajectory = free_trajectory(net, XOR, T, K)
    found = compare_processes(net, XOR, XOR_TARGET, trajectory, beta, n_curves=None)
    assert found["DT_W"].shape == found["NT_W"].shape == (K, net.W.numel())
    gradient = bptt_gradients(net, XOR, XOR_TARGET, T, K)[1][0][0]
    assert np.allclose(found["NT_W"][-1], gradient.flatten(), atol=1e-12)
    forbidden = (net.mask == 0).flatten().numpy()
    assert not found["NT_W"][:, forbidden].any()
    assert not found["DT_W"][:, forbidden].any()


@pytest.mark.parametrize("build", SYSTEMS)
def test_cumulated_update_is_the_published_rule(build):
    """After K steps the forward process has gathered what the fast loop gathers."""
    net, beta, T = lively(build, 1), 0.7, 80
    with torch.no_grad():
        drive = net.drive(XOR)
        s_free = net(drive, net.initHidden(drive), T)
        steps = list(forward_process(net, XOR, s_free, XOR_TARGET, 60, beta))
        for K in (1, 7, 60):
            nudged = net.run(drive, net.pack(s_free), K, XOR_TARGET, beta)
            sums = net.contrast(drive, net.pack(s_free), nudged.state, nudged.trace)
            cumulated = -steps[K - 1][1]()[0]
            assert torch.allclose(cumulated, sums[0] * net.mask / (beta * len(XOR)), atol=1e-14)
        once = net(drive, s_free, 60, XOR_TARGET, beta)
        halves = net(drive, net(drive, s_free, 25, XOR_TARGET, beta), 35, XOR_TARGET, beta)
        updates = (net.computeGradients(drive, s_free, s, beta)[0][0] for s in (once, halves))
        assert torch.allclose(*updates, atol=1e-14)


def test_cosine_to_descent():
    net = AsymmetricEP(2, 0, 1, n_nets=4, std=0.1)  # without loops the rule is the gradient
    with torch.no_grad():
        net.biases[0][:, -1] = 0.3  # away from the bounds
        net.W[:, :, -1] = 0.2
    schedule = SimpleNamespace(T=600, Kmax=400, beta=0.01)
    assert torch.allclose(
        cosine_to_descent(net, XOR, XOR_TARGET, schedule), torch.ones(4).double(), atol=1e-3
    )
    deep = lively(DEEP, 5, std=0.05, hidden=5)
    found = cosine_to_descent(deep, XOR, XOR_TARGET, schedule, K=100)
    assert found.shape == (5,)
    assert (found[~found.isnan()].abs() <= 1).all()


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="hidden"):
        DEEP(2, [3, 2], 1)
    with pytest.raises(ValueError, match="n_nets 0"):
        DEEP(2, 3, 1, n_nets=0)
