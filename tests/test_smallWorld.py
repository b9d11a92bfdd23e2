"""Layer-skipping networks: published numbers, topology, the ways to run a step, what is kept."""

import csv
import json
import math
import shutil

import commands
import goldenCases
import numpy as np
import pytest
import torch
from commands import options, refuses

from datasets import load_dataset
from errors import UserError
from gradientMatching import free_trajectory
from netFunctions import Particles, Schedule, evaluate
from networks.gradients import bptt_gradients
from networks.rules import learn_by_ep
from networks.smallWorld import SmallWorldEP, log_spread
from networks.topology import Topology, mean_glorot_bound, wire_up
from records.checkpoint import read_checkpoint
from runs import many as manyRuns
from systems.smallWorld import SMALL_WORLD

pytestmark = pytest.mark.long

KINDS = ("MLFF", "SW_intra", "SW_no_intra")
DTYPES = (torch.float64, torch.float32)


class Golden:
    """A stored case; its arrays are ordered input first, ours output first."""

    def __init__(self, kind: str, dtype: torch.dtype):
        with np.load(goldenCases.GOLDEN / f"smallworld_{kind}.npz") as file:
            self.values = dict(file)
        self.dtype, self.bound = dtype, goldenCases.TOLERANCE[dtype][0]
        self.sizes = self.values["layer_sizes"].tolist()[::-1]
        starts = np.cumsum([0, *self.sizes[::-1]])
        spans = [np.arange(a, b) for a, b in zip(starts, starts[1:], strict=False)]
        self.order = np.concatenate(spans[::-1])
        mask = torch.from_numpy(self.array("W_mask") > 0)
        topology = Topology(self.sizes, torch.triu(mask, 1), 1, 0)
        self.net = SmallWorldEP(topology, dt=self.values["epsilon"].item()).to(dtype)

    def array(self, key: str) -> np.ndarray:
        """A stored array, output first."""
        values = self.values[key]
        if values.ndim == 2 and values.shape[0] == values.shape[1] == len(self.order):
            return values[self.order][:, self.order]
        if values.shape[-1] == len(self.order):
            return values[..., self.order]
        return values

    def put(self, W: np.ndarray, B: np.ndarray) -> None:
        starts = np.cumsum([0, *self.sizes])
        with torch.no_grad():
            for i, (first, last) in enumerate(self.net.spans):
                own = slice(starts[i], starts[i + 1])
                block = torch.from_numpy(W[own, starts[first] : starts[last + 1]])
                self.net.weights[i].copy_(block * self.net.masks[i])
                self.net.biases[i].copy_(torch.from_numpy(B[own]))

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.values[key]).to(self.dtype)

    def phases(self, x, y, beta, start=None):
        net = self.net
        with torch.no_grad():
            drive = net.drive(x)
            free = net(drive, start or net.initHidden(drive), int(self.values["free_iterations"]))
            steps = int(self.values["clamped_iterations"])
            nudged = net(drive, free, steps, y, beta)
        return free, nudged, net.computeGradients(drive, free, nudged, beta)

    def check(self, actual, expected) -> None:
        assert goldenCases.relative_error(actual, expected) < self.bound


@pytest.fixture(params=[(k, d) for k in KINDS for d in DTYPES], ids=str)
def golden(request):
    return Golden(*request.param)


@pytest.mark.parametrize("sign", ["pos", "neg"])
def test_published_states_updates_and_weights(golden, sign):
    beta = golden.values["beta"].item() * (1 if sign == "pos" else -1)
    golden.put(golden.array("W"), np.zeros(len(golden.order)))
    for which in ("", "second_"):
        number = "2" if which else ""
        x, y = golden.tensor(f"x{number}"), golden.tensor(f"y{number}")
        free, nudged, gradients = golden.phases(x, y, beta)
        golden.check(torch.cat([*free, x], 1), golden.array(f"{which}s_free_{sign}"))
        golden.check(torch.cat([*nudged, x], 1), golden.array(f"{which}s_clamped_{sign}"))
        dW = golden.net.matrix([w for w, _ in gradients])
        golden.check(dW, golden.array(f"{which}dW_{sign}"))
        dB = torch.cat([*(b for _, b in gradients), torch.zeros(golden.sizes[-1])])
        golden.check(dB, golden.array(f"{which}dB_{sign}"))
        rates = golden.net.corrections(gradients).flip(0)
        golden.check(rates, golden.values[f"{which}rates_{sign}"])
        cost = (free[0] - y).square().sum() / (2 * len(y))
        golden.check(cost, golden.values[f"{which}cost_{sign}"])
        if not which:
            hits = (free[0].argmax(1) == y.argmax(1)).sum()
            assert hits == golden.values[f"ncorrect_{sign}"]
            rate = golden.values["learning_rate"].item()
            golden.net.updateWeights(gradients, [rate] * golden.net.n_layers)
            golden.check(golden.net.matrix(), golden.array(f"W_after_{sign}"))
            biases = torch.cat([*golden.net.biases, torch.zeros(golden.sizes[-1])])
            golden.check(biases, golden.array(f"B_after_{sign}"))


@pytest.mark.parametrize("sign", ["pos", "neg"])
def test_published_second_visit_starts_from_the_particle(golden, sign):
    beta = golden.values["beta"].item() * (1 if sign == "pos" else -1)
    golden.put(golden.array("W"), np.zeros(len(golden.order)))
    x, y = golden.tensor("x"), golden.tensor("y")
    first, _, _ = golden.phases(x, y, beta)
    golden.put(golden.array(f"third_W_before_{sign}"), golden.array(f"third_B_before_{sign}"))
    free, _, gradients = golden.phases(x, y, beta, start=[v.clone() for v in first])
    golden.check(torch.cat([*free, x], 1), golden.array(f"third_s_free_{sign}"))
    dW = golden.net.matrix([w for w, _ in gradients])
    golden.check(dW, golden.array(f"third_dW_{sign}"))


@pytest.mark.parametrize("sign", ["pos", "neg"])
def test_rates_per_layer(golden, sign):
    """Adjacent pairs and biases as intended; the published program gives skips and biases rate 1,

    here they learn at the rate of their layer.
    """
    beta = golden.values["beta"].item() * (1 if sign == "pos" else -1)
    golden.put(golden.array("W"), np.zeros(len(golden.order)))
    _, _, gradients = golden.phases(golden.tensor("x"), golden.tensor("y"), beta)
    golden.net.updateWeights(gradients, golden.values["learning_rate_per_layer"].tolist()[::-1])
    layer = golden.net.topology.layer_of
    adjacent = ((layer[:, None] - layer).abs() == 1).numpy()
    stored = golden.array(f"W_after_perlayer_{sign}") * adjacent
    golden.check(golden.net.matrix() * torch.from_numpy(adjacent), stored)
    biases = torch.cat([*golden.net.biases, torch.zeros(golden.sizes[-1])])
    golden.check(biases, golden.array(f"B_after_perlayer_intended_{sign}"))


# Topology ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("intra", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.7, 1.0])
def test_rewiring_keeps_the_number_of_links_and_the_rules(p, intra):
    sizes = [4, 12, 9, 11, 7]
    topology = wire_up(sizes, p, intra, seed=3)
    links, layer = topology.links, topology.layer_of
    distance = layer[None, :] - layer[:, None]
    assert links.sum() == topology.n_candidates
    assert not links.tril().any()  # each link once, none to itself
    assert not (links & (distance == 0) & ((layer == 0) | (layer == 4))).any()
    if not intra:
        assert not (links & (distance == 0)).any()
    n_skips = int((links & (distance > 1)).sum())
    # a few rewired links fall into places that were left before
    assert n_skips <= topology.n_rewired
    assert (n_skips == 0) == (p == 0)
    spread = 4 * (p * (1 - p) / topology.n_candidates) ** 0.5
    assert abs(topology.actual_p - p) <= spread


def test_rewiring_equals_the_procedure_one_by_one():
    """The vectorised draw is the published loop: take a slot, fill it, put the old place there."""
    sizes, p, seed = [3, 5, 4, 6], 0.8, 11
    generator = torch.Generator().manual_seed(seed)
    layer = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    distance = layer[None, :] - layer[:, None]
    places = (distance == 1).flatten().nonzero().squeeze(1)
    chosen = torch.rand(len(places), generator=generator) < p
    removed = places[chosen][torch.randperm(int(chosen.sum()), generator=generator)]
    empty = (distance > 1).flatten().nonzero().squeeze(1).tolist()
    slots = torch.randint(len(empty), (len(removed),), generator=generator)
    present = set(places.tolist())
    for old, slot in zip(removed.tolist(), slots.tolist(), strict=True):
        present.remove(old)
        present.add(empty[slot])
        empty[slot] = old
    found = wire_up(sizes, p, seed=seed).links.flatten().nonzero().squeeze(1)
    assert sorted(present) == found.tolist()


def test_skips_are_drawn_uniformly():
    """Chi-square over the places of a small graph, 600 seeds."""
    sizes = [2, 3, 2, 3]
    counts = sum(wire_up(sizes, 0.3, seed=s).links.double() for s in range(600))
    layer = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    skips = counts[(layer[None, :] - layer[:, None]) > 1]
    expected = skips.mean()
    chi = ((skips - expected) ** 2 / expected).sum() / len(skips)  # about 1 if uniform
    assert chi < 1 + 4 * (2 / len(skips)) ** 0.5


@pytest.mark.parametrize(
    "sizes, paper",  # the magnitudes of the published runs, Gammell et al. 2021
    [
        ([10, 500, 500, 500, 784], 0.0829),
        ([10, *[100] * 5, 784], 0.168),
        ([1, *[10] * 5, 10], 0.579),
        ([1, *[10] * 8, 10], 0.569),
        ([3, *[10] * 5, 13], 0.563),
        ([3, *[10] * 8, 13], 0.558),
    ],
)
def test_the_magnitude_of_new_links_is_the_published_one(sizes, paper):
    assert mean_glorot_bound(sizes) == pytest.approx(paper, abs=6e-4)


def test_initial_weights_keep_to_their_bounds_and_the_mask():
    net = SmallWorldEP(wire_up([4, 30, 20, 9], 0.3, seed=1), bypass_mag=0.011)
    W, layer = net.matrix(), net.topology.layer_of
    assert torch.equal(W != 0, net.adjacency()) and torch.equal(W, W.T)
    assert all(not b.any() for b in net.biases)
    gap = (layer[:, None] - layer).abs()
    assert W[gap == 2].abs().max() <= 0.011 < 2 * W[gap == 2].abs().max()
    between = W[:4, 4:34].abs().max()
    assert 0.9 * (6 / 34) ** 0.5 < between <= (6 / 34) ** 0.5


def test_a_network_of_two_layers_has_no_place_for_skips():
    with pytest.raises(ValueError, match="no link can skip one"):
        wire_up([3, 4], 0.5)


# Steps ------------------------------------------------------------------------------------------

SHAPES = {
    "halves": ([10, *[100] * 5, 784], 0.0, False),
    "by layer": ([10, 300, 300, 300, 50], 0.3, False),
    "whole": ([3, *[10] * 5, 13], 0.2, False),
    "whole and larger": ([10, *[100] * 5, 20], 0.01, False),
    "intra": ([5, 12, 9, 8], 0.2, True),
}
WAYS = {"halves": 2, "by layer": 4, "whole": 1, "whole and larger": 1, "intra": 1}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_to_run_a_step_gives_the_same(shape):
    """Against the equation with the whole matrix (N, N), in float64."""
    sizes, p, intra = SHAPES[shape]
    net = SmallWorldEP(wire_up(sizes, p, intra, seed=2)).double()
    torch.manual_seed(0)
    x, y = torch.rand(6, sizes[-1]).double(), torch.rand(6, sizes[0]).double()
    with torch.no_grad():
        for b in net.biases:
            b.uniform_(-0.1, 0.1)
        drive = net.drive(x)
        assert len(net.way.groups) == WAYS[shape]
        W, bias = net.matrix(), torch.cat(list(net.biases))
        s = torch.cat([torch.zeros(6, len(bias)).double(), x], 1)
        for k in range(9):
            moved = s[:, : len(bias)] + 0.5 * (s @ W[:, : len(bias)] + bias - s[:, : len(bias)])
            if k >= 6:  # three nudged steps
                moved[:, : sizes[0]] += 2 * 0.5 * -0.7 * (y - moved[:, : sizes[0]])
            s = torch.cat([moved.clamp(0, 1), x], 1)
        free = net(drive, net.initHidden(drive), 6)
        ended = net(drive, free, 3, y, -0.7)
        watched = net(drive, net.initHidden(drive), 6, observe=lambda *_: False)
    assert torch.allclose(torch.cat(list(ended), 1), s[:, : len(bias)], atol=1e-12)
    assert torch.allclose(free.matrix, watched.matrix, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_phase_leaves_the_state_it_was_given(shape):
    sizes, p, intra = SHAPES[shape]
    net = SmallWorldEP(wire_up(sizes, p, intra))
    with torch.no_grad():
        drive = net.drive(torch.rand(3, sizes[-1]))
        s = net(drive, net.initHidden(drive), 2)
        before = [v.clone() for v in s]
        net(drive, s, 3)
        net(drive, s, 3, torch.rand(3, sizes[0]), 1.0)
        assert all(torch.equal(a, b) for a, b in zip(before, s, strict=True))


@pytest.mark.parametrize("shape", ["whole", "intra"])
def test_gradients_of_bptt_are_right(shape):
    """Against finite differences; the update of a link that is not there is 0."""
    sizes, p, intra = SHAPES[shape]
    net = SmallWorldEP(wire_up(sizes, p, intra, seed=4)).double()
    torch.manual_seed(1)
    x, y = torch.rand(4, sizes[-1]).double(), torch.rand(4, sizes[0]).double()
    for b in net.biases:  # at 0 a unit without input would stand in the corner of the clipping
        b.data.uniform_(0.02, 0.1)
    _, gradients = bptt_gradients(net, x, y, 12, 12)

    def loss() -> float:
        with torch.no_grad():
            drive = net.drive(x)
            return ((net(drive, net.initHidden(drive), 12)[0] - y).square().sum() / 4).item()

    for i in range(net.n_layers):
        a, b = net.masks[i].nonzero()[len(net.masks[i].nonzero()) // 2].tolist()
        for parameter, place, gradient in (
            (net.weights[i], (a, b), gradients[i][0][a, b]),
            (net.biases[i], (a,), gradients[i][1][a]),
        ):
            values = []
            for change in (1e-6, -2e-6):
                parameter.data[place] += change
                values.append(loss())
            parameter.data[place] += 1e-6
            assert (values[0] - values[1]) / 2e-6 == pytest.approx(gradient.item(), abs=1e-7)


# Structure comes from what is stored -------------------------------------------------------------

GRAPHS = {
    "layered": ([3, 8, 8, 8, 13], 0.0, False),
    "skips": ([3, 8, 8, 8, 13], 0.2, False),
    "all rewired": ([2, 3, 3, 3], 1.0, False),
    "intra": ([3, 6, 6, 6, 5], 0.3, True),
    "single neurons": ([1, 1, 1, 1, 2], 0.4, True),
}


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_a_topology_is_found_in_a_state(graph, old):
    """An older state says nothing of rewired links that fell into places left before."""
    sizes, p, intra = GRAPHS[graph]
    topology = wire_up(sizes, p, intra, seed=3)
    net = SmallWorldEP(topology, seed=1)
    state = net.state_dict()
    if old:
        state = {name: v for name, v in state.items() if name not in ("mask_spans", "n_rewired")}
    found = Topology.from_state(sizes, state)
    assert found.size_tab == sizes and torch.equal(found.links, topology.links)
    assert found.n_candidates == topology.n_candidates
    if old:
        assert found.n_rewired <= topology.n_rewired
    else:
        assert found.n_rewired == topology.n_rewired
    again = SmallWorldEP(found, seed=7)
    again.load_state_dict(state)
    assert again.spans == net.spans and again.reach == net.reach
    assert torch.equal(again.matrix(), net.matrix()) and again.n_rewired == found.n_rewired
    x = torch.rand(4, sizes[-1])
    ends = []
    for one in (net, again):
        with torch.no_grad():
            drive = one.drive(x)
            ends.append(one(drive, one.initHidden(drive), 9).matrix)
    assert torch.equal(*ends)


def test_weights_of_other_links_are_refused():
    sizes = [3, 8, 8, 8, 13]
    net = SmallWorldEP(wire_up(sizes, 0.2, seed=0))
    state, before = SmallWorldEP(wire_up(sizes, 0.2, seed=1)).state_dict(), net.matrix()
    with pytest.raises(UserError, match="links .of layer 0. are others"):
        net.load_state_dict(state)
    assert torch.equal(net.matrix(), before)
    for wrong in ([3, 8, 8, 13], [3, 8, 9, 8, 13], [3, 8, 8, 8, 8, 13]):
        with pytest.raises(ValueError, match="do not fit a network of 3 8"):
            Topology.from_state(wrong, state)


def test_distances_from_the_output_follow_the_links():
    assert SmallWorldEP(wire_up([2, 3, 3, 3, 4])).reach == [0, 1, 2, 3]
    links = wire_up([2, 3, 3, 3, 4]).links.clone()
    links[0, 8] = True  # output to the last hidden layer
    topology = Topology([2, 3, 3, 3, 4], links, 40, 1)
    assert SmallWorldEP(topology).reach == [0, 1, 2, 1]


def test_trajectories_have_layers():
    net = SmallWorldEP(wire_up([3, 6, 5, 4]))
    trajectory = free_trajectory(net, torch.rand(2, 4), 8, 3)
    assert len(trajectory) == 4 and [v.shape[1] for v in trajectory[-1]] == [3, 6, 5]


# Training ---------------------------------------------------------------------------------------


def test_a_mask_stays_respected_and_measures_are_kept():
    net = SmallWorldEP(wire_up([3, 10, 10, 10, 13], 0.2, seed=5))
    data = load_dataset("wine", None)
    plan = Schedule(T=60, Kmax=6, beta=1.0, lr_tab=[0.02] * 4, batch_size=5)
    total, lessons = torch.zeros(46, 46), []
    for k, (x, y) in enumerate(data.train.batches(5)):
        before = net.matrix()
        lessons.append(learn_by_ep(net, x, y, plan).measures)
        if k == 0:
            dW = (net.matrix() - before) / 0.02
            layer = net.topology.layer_of
            pair = net.adjacency() & (layer[:, None] == 0) & (layer == 1)
            rms = dW[pair].square().mean().sqrt()
            assert lessons[0]["correction"][0] == pytest.approx(rms.item(), rel=1e-3)
        total += (net.matrix() - before).abs() / 0.02
    assert torch.equal(net.matrix() != 0, net.adjacency())
    kept = net.records({"correction": torch.stack([m["correction"] for m in lessons])[None]})
    assert torch.allclose(kept["mean_dW"], total / 30, atol=1e-5)
    assert all((m["saturated"] >= 0).all() and m["saturated"].sum() <= 5 * 33 for m in lessons)
    assert kept["log_spread"].shape == (1,)


def test_log_spread_is_that_of_the_mean_corrections():
    corrections = torch.tensor([[[1.0, 10.0], [3.0, 30.0]]])  # one epoch, two batches, two pairs
    assert log_spread(corrections).item() == pytest.approx(0.5)


SMALL = ["--dataset", "wine", "--size_tab", 3, 8, 8, 8, 13, "--network-type", "SW_no_intra"]
SMALL += ["--T", 40, "--Kmax", 6, "--batch-size", 10, "--lr_tab", 0.05, "--threads", 1]


def test_training_records_all_of_it_and_resumes_with_its_particles(tmp_path):
    with commands.drawing():
        commands.call(
            *SMALL, "--epochs", 4, "--train-error", "full", "--results-dir", tmp_path / "a"
        )
    commands.call(*SMALL, "--epochs", 2, "--train-error", "full", "--results-dir", tmp_path / "b")
    whole, parts = commands.only_run(tmp_path / "a"), commands.only_run(tmp_path / "b")
    commands.call("--resume", parts, "--epochs", 4)
    states = [read_checkpoint(folder / "checkpoint.pt") for folder in (whole, parts)]
    for one, other in zip(*(s["particles"]["EP"] for s in states), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        assert any(v.any() for v in one)
    first, second = (s["weights"]["EP"] for s in states)
    assert all(torch.equal(first[key], second[key]) for key in first)
    rows = [list(csv.DictReader((f / "metrics.csv").open())) for f in (whole, parts)]
    for row in rows[0] + rows[1]:
        row.pop("seconds")
    assert rows[0] == rows[1] and float(rows[0][-1]["train_error_full"]) >= 0
    with np.load(whole / "results.npz", allow_pickle=False) as arrays:
        assert arrays["EP_correction"].shape == (4, 15, 4)
        assert arrays["EP_saturated"].shape == (4, 15, 2)
        assert arrays["EP_mean_dW"].shape == arrays["EP_initial_W"].shape == (40, 40)
        assert np.array_equal(arrays["EP_mask"], arrays["EP_initial_W"] != 0)
        assert arrays["EP_log_spread"].shape == (4,) and 0 < arrays["EP_actual_p"] < 0.4
    drawn = {path.name for path in whole.glob("*.png")}
    assert drawn == {"results.png", "corrections.png", "mean_dW_EP.png"}


def test_evaluate_goes_on_from_the_stored_particles(tmp_path, capsys):
    commands.call(*SMALL, "--epochs", 2, "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    commands.call("--action", "evaluate", "--load", folder / "checkpoint.pt")
    state = read_checkpoint(folder / "checkpoint.pt")
    net = SmallWorldEP(wire_up([3, 8, 8, 8, 13], 0.1))
    net.load_state_dict(state["weights"]["EP"])
    data = load_dataset("wine", None)
    plan = Schedule(T=40, Kmax=6, beta=1.0, lr_tab=[0.05] * 4)
    particles = Particles(state["particles"]["EP"][1])
    expected = evaluate(net, data.test, plan, "EP", particles)
    assert f"loss {expected.loss:.4f}" in capsys.readouterr().out


WIDE = [3, *[100] * 5, 13]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run folder of a network so large that its steps are made from the graph's parts."""
    results = tmp_path_factory.mktemp("taught")
    words = [*SMALL, "--size_tab", *WIDE, "--bypass-p", 0.01, "--epochs", 1, "--lr_tab", 1e-4]
    commands.call(*words, "--results-dir", results)
    return commands.only_run(results)


def test_a_seed_typed_with_a_checkpoint_does_not_change_the_network(taught):
    words = ["--action", "evaluate", "--load", taught / "checkpoint.pt", "--no-persistent"]
    lines = {commands.call(*words, "--seed", seed) for seed in (0, 1, 2)}
    assert len(lines) == 1 and "loss" in lines.pop()


def test_trials_of_a_loaded_network_are_of_that_network(taught, tmp_path):
    """A mini-batch of all samples is the same with every seed."""
    words = ["--action", "receipe", "--load", taught / "checkpoint.pt", "--batches", 1]
    words += ["--batch-size", 150, "--dtype", "float64", "--trials", 3]
    commands.call(*words, "--results-dir", tmp_path)
    found = [np.load(path)["cosine"] for path in only_group(tmp_path).glob("*/results.npz")]
    assert len(found) == 3 and np.all(found[0] > 0) and np.ptp(found, axis=0).max() < 1e-9


def test_resuming_takes_the_links_from_the_checkpoint(taught, tmp_path):
    folder = tmp_path / "Trial-1"
    shutil.copytree(taught, folder)
    record = json.loads((folder / "hyperparameters.json").read_text())
    record["options"]["seed"] = 5  # as if this torch drew other links with the same seed
    (folder / "hyperparameters.json").write_text(json.dumps(record))
    commands.call("--resume", folder, "--epochs", 2)
    before, after = (
        Topology.from_state(WIDE, read_checkpoint(f / "checkpoint.pt")["weights"]["EP"])
        for f in (taught, folder)
    )
    assert torch.equal(before.links, after.links) and before.n_rewired == after.n_rewired
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["EP_mask"], (after.links | after.links.T).numpy())
        assert arrays["EP_actual_p"] == after.actual_p


@pytest.mark.parametrize("words", [["--discrete"], ["--toymodel", "--size_tab", 10, 16, 64]])
def test_persistent_particles_and_random_signs_are_for_every_ep_network(words, tmp_path):
    words = [*commands.SMALL, *words, "--persistent", "--beta-sign", "random", "--epochs", 2]
    commands.call(*words, "--results-dir", tmp_path)
    state = read_checkpoint(commands.only_run(tmp_path) / "checkpoint.pt")
    train, test = state["particles"]["EP"]
    assert train[0].shape == (1500, 10) and test[1].shape == (297, 16)
    assert state["options"]["beta_sign"] == "random"


def test_no_persistent_is_recorded_as_such(tmp_path):
    commands.call(*SMALL, "--no-persistent", "--beta-sign", "fixed", "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    assert read_checkpoint(folder / "checkpoint.pt")["particles"]["EP"] == (None, None)
    again = options(f"--config {folder / 'hyperparameters.json'}")
    assert again["persistent"] is False and again["beta_sign"] == "fixed"


def test_a_lack_of_memory_is_said_before_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("runs.setup.free_memory", lambda device: 30_000)
    commands.call(*SMALL, "--results-dir", tmp_path)
    assert "the persistent states take 0.00 GiB" in capsys.readouterr().err


def test_regression_is_reported_as_such(tmp_path, capsys):
    words = ["--dataset", "diabetes", "--size_tab", 1, 8, 8, 10, "--network-type", "MLFF"]
    words += ["--T", 60, "--Kmax", 6, "--batch-size", 20, "--lr_tab", 0.05, "--epochs", 6]
    commands.call(*words, "--results-dir", tmp_path)
    folder, printed = commands.only_run(tmp_path), capsys.readouterr().out
    assert "%" not in printed
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert float(rows[-1]["train_error"]) == pytest.approx(float(rows[-1]["loss"]))
    assert float(rows[-1]["test_error"]) < float(rows[0]["train_error"])
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        assert str(arrays["error_unit"]) == "half squared error"
    commands.call("--action", "evaluate", "--load", folder / "checkpoint.pt")
    assert "(half squared error), loss 0.0" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_curves_show_the_theorem_for_these_networks(kind, tmp_path, capsys):
    words = ["--dataset", "wine", "--size_tab", 3, 8, 8, 13, "--network-type", kind]
    words += ["--beta", 0.001, "--T", 600, "--Kmax", 20, "--dtype", "float64", "--batch-size", 10]
    commands.call("--action", "plotcurves", *words, "--results-dir", tmp_path)
    commands.call("--action", "receipe", "--batches", 2, *words, "--results-dir", tmp_path)
    printed = capsys.readouterr().out
    assert "free phase settled" in printed and "W2x" in printed
    with np.load(next(tmp_path.glob("*/*/*/curves.txt")).parent / "results.npz") as arrays:
        assert arrays["rmse_S"].shape == (3, 2) and arrays["rmse_T"][:, 0].max() < 0.05
        assert (arrays["same_sign"] + arrays["both_zero"]).min() > 97
        assert arrays["cosine"].min() > 0.999


# Presets, sweeps --------------------------------------------------------------------------------


def test_the_presets_are_the_published_runs():
    published = [name for name in SMALL_WORLD.presets if name.endswith("-published")]
    assert len(published) == 7 and len(SMALL_WORLD.presets) == 15 + 7  # tables have one name
    assert options("--preset mnist_3layer_swni")["solver"] == "relax"
    args = options("--preset mnist_3layer_swni-published")
    assert (args["network_type"], args["bypass_p"], args["lr_tab"]) == ("SW_no_intra", 0.1, [0.02])
    assert (args["T"], args["Kmax"], args["dt"], args["beta_sign"]) == (500, 8, 0.5, "random")
    assert args["persistent"] and args["size_tab"] == [10, 500, 500, 500, 784]
    rates = options("--preset mnist_3layer_mlffpl")["lr_tab"]
    assert rates == [0.002, 0.008, 0.032, 0.128]  # from the output backwards


@pytest.mark.parametrize("name", SMALL_WORLD.presets)
def test_every_preset_runs_with_its_steps_cut_down(name, tmp_path):
    preset = options(f"--preset {name}")
    words = ["--preset", name, "--epochs", 1, "--threads", 1]
    words += ["--T", 3, "--Kmax", 2] if preset["T"] else ["--max-sweeps", 3]
    outputs, *hidden, inputs = preset["size_tab"]  # those that the pages print run at full size
    words += ["--size_tab", outputs, *(min(n, 60) for n in hidden), inputs]
    if "mnist" in name:
        place = commands.small_mnist(tmp_path, fashion=name.startswith("fmnist"))
        words += ["--data-dir", place]
    commands.call(*words, "--results-dir", tmp_path / "results")
    rows = list(csv.DictReader((commands.only_run(tmp_path / "results") / "metrics.csv").open()))
    assert len(rows) == 1


WRONG = {
    "--bypass-p 0.1": "--bypass-p is not used by the energy-based network",
    "--network-type SW": "invalid choice: 'SW'",
    "--network-type MLFF --bypass-p 0.1": "not used by --network-type MLFF",
    "--network-type SW_intra --bypass-p 1.5": "'1.5' is not a number from 0 to 1",
    "--network-type SW_no_intra --discrete": "--discrete is not used by the small-world network",
    "--network-type SW_no_intra --size_tab 3 13 --dataset wine": "no link can skip one",
    "--dataset diabetes --size_tab 3 10 10": "--size_tab starts with 3, diabetes has 1 outputs",
    "--dataset wine --C_tab 4 1": "--C_tab needs images, wine has none",
    "--dataset wine --sweep nosuch 1 2": "--sweep nosuch: there is no such option",
    "--dataset wine --sweep T": "--sweep T needs the values",
    "--dataset wine --sweep T 5 x": "'x' is not a whole number",
    "--dataset wine --trials 0": "--trials: '0' is not a whole number",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_one_line_and_writes_nothing(line, place, capfd):
    refuses(line, WRONG[line], capfd)


SWEEP = [*SMALL, "--epochs", 2, "--sweep", "bypass-p", 0, 0.1, 0.3, "--trials", 2, "--seed", 4]


def only_group(results):
    (folder,) = results.glob("*/*/Runs-*")
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    results = tmp_path_factory.mktemp("swept")
    with commands.drawing():
        commands.call(*SWEEP, "--results-dir", results)
    return only_group(results)


def numbers(folder):
    rows = manyRuns.read_rows(folder / "summary.csv")
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_a_sweep_has_a_folder_a_row_and_a_place_in_the_figure_per_run(swept):
    rows = manyRuns.read_rows(swept / "summary.csv")
    assert len(rows) == 6 and {row["status"] for row in rows} == {"done"}
    assert [(row["bypass_p"], row["seed"]) for row in rows[:3]] == [
        ("0", "4"),
        ("0", "5"),
        ("0.1", "4"),
    ]
    for row in rows:
        record = json.loads((swept / row["run"] / "hyperparameters.json").read_text())["options"]
        assert record["bypass_p"] == float(row["bypass_p"]) and record["seed"] == int(row["seed"])
    table = (swept / "summary.md").read_text()
    assert table.count("\n| ") == 3 and "±" in table
    assert {"trials.png", "sweep.png"} <= {path.name for path in swept.iterdir()}


def test_the_mean_of_the_table_is_that_of_the_runs(swept):
    rows = [r for r in manyRuns.read_rows(swept / "summary.csv") if r["bypass_p"] == "0.3"]
    mean = np.mean([float(row["test_error"]) for row in rows])
    std = np.std([float(row["test_error"]) for row in rows], ddof=1)
    places = max(0, 1 - math.floor(math.log10(std)))  # two digits of the spread
    assert f"| {mean:.{places}f} ± {std:.{places}f} |" in (swept / "summary.md").read_text()


def test_a_table_says_how_many_values_are_numbers():
    assert manyRuns.spread_of([1.0, 2.0, float("nan")]) == "1.50 ± 0.71 (2 of 3)"
    assert manyRuns.spread_of([float("nan")]) == "-"


def test_resuming_many_runs_does_only_what_is_missing(swept, tmp_path, capsys):
    folder = shutil.copytree(swept, tmp_path / "Runs-1")
    lines = (folder / "summary.csv").read_text().splitlines(keepends=True)
    (folder / "summary.csv").write_text("".join(lines[:4]))  # as if stopped after three runs
    for path in (folder / "bypass_p=0.3,seed=5").iterdir():
        path.unlink()
    capsys.readouterr()
    commands.call("--resume", folder)
    printed = capsys.readouterr().out
    assert printed.count(": done") == 1 and "6 of 6  bypass_p=0.3,seed=5: done" in printed
    assert numbers(folder) == numbers(swept)


def test_a_run_that_fails_is_recorded_and_the_others_go_on(tmp_path):
    words = ["--dataset", "digits", "--T", 5, "--Kmax", 2, "--batch-size", 500, "--no-clamp"]
    words += ["--activation-function", "hardsigm", "--size_tab", 10, 8, 64]
    words += ["--sweep", "lr_tab", "1e38,1e38", "0.1,0.1", "--epochs", 2]
    commands.call(*words, "--results-dir", tmp_path)
    rows = manyRuns.read_rows(only_group(tmp_path) / "summary.csv")
    assert rows[0]["status"].startswith("failed: the loss of EP is not finite")
    assert (
        rows[1]["status"] == "done"
        and "1 run(s) failed" in (only_group(tmp_path) / "summary.md").read_text()
    )


@pytest.mark.figures
def test_folders_of_runs_are_drawn_side_by_side(swept, tmp_path):
    import plotFunctions

    place = tmp_path / "some"
    for name in ("bypass_p=0,seed=4", "bypass_p=0.3,seed=4"):
        shutil.copytree(swept / name, place / name)
    written = plotFunctions.compare([place], place)
    assert {path.name for path in written} == {"compared.png", "compared.pdf"}
