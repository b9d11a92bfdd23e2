"""BrainProp: the published numbers, the statistics of the choice, the nets and what they refuse."""

import math
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from goldenCases import relative_error
from torch import nn

from netFunctions import Schedule
from networks import brainprop
from networks.architectures import ARCHITECTURES, EPSILON, build_classifier
from networks.brainprop import (
    Classifier,
    brainprop_loss,
    choose,
    ebp_loss,
    keep_freed_memory,
    learn_by_brainprop,
    learn_by_ebp,
    look,
)
from networks.brainpropLayers import (
    BatchNorm,
    ChannelsLast,
    Dropout,
    FlattenImages,
    FromPositions,
    LocallyConnected,
    ToPositions,
)

GOLDEN = Path(__file__).parent / "golden" / "brainprop.npz"
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}
LAYERS = {"lin": ["V"], "mlp": ["W1", "W2", "V"]}
IMAGES = (1, 12, 12)


def rate(value):
    return Schedule(T=0, Kmax=0, beta=0.0, lr_tab=[value])


def small_batch(net, n=6, dtype=torch.float64, seed=0):
    """Random images and one-hot targets that fit a net."""
    generator = torch.Generator().manual_seed(seed)
    data = torch.rand(n, *net.shape, generator=generator, dtype=dtype)
    label = torch.randint(net.n_classes, (n,), generator=generator)
    return data, F.one_hot(label, net.n_classes).to(dtype)


def linear_net(*weights):
    """A net of dense layers with ReLU between them, from (out, in) weights."""
    layers = []
    for weight in weights:
        layers += [nn.Linear(*weight.T.shape, bias=False, dtype=weight.dtype), nn.ReLU()]
    net = Classifier(*layers[:-1])
    net.epsilon, net.l2 = EPSILON, 0.0
    with torch.no_grad():
        for kernel, weight in zip(net.kernels, weights, strict=True):
            kernel.copy_(weight)
    return net


# ------------------------------------------------------------------------------ the golden numbers


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {key: file[key] for key in file.files}


def golden_case(golden, kind, dtype):
    """The stored net, data and target; its weights are stored (in, out)."""
    weights = [torch.from_numpy(golden[f"{kind}_{name}"].T).to(dtype) for name in LAYERS[kind]]
    data, target = (torch.from_numpy(golden[key]).to(dtype) for key in ("x", "t"))
    return linear_net(*weights), data, target


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("choice", ["greedy", "explore"])
@pytest.mark.parametrize("kind", ["lin", "mlp"])
def test_published_loss_gradients_and_update(golden, monkeypatch, kind, choice, dtype):
    net, data, target = golden_case(golden, kind, dtype)
    case, bound = f"{kind}_{choice}", TOLERANCE[dtype]
    chosen = torch.from_numpy(golden[f"{case}_selected"])

    def error(actual, key):
        return relative_error(actual, golden[f"{case}_{key}"])

    activity = [data]  # before and after every layer
    for layer in net:
        activity.append(layer(activity[-1]))
    loss = brainprop_loss(activity[-1], chosen, target)
    assert error(loss, "loss") < bound
    before_relu = dict(zip(LAYERS[kind], activity[1::2], strict=True))
    for name, kernel in zip(LAYERS[kind], net.kernels, strict=True):
        z = "grad_a" if name == "V" else f"grad_z{name[1]}"
        by_kernel, by_z = torch.autograd.grad(loss, [kernel, before_relu[name]], retain_graph=True)
        assert error(by_kernel.T, f"grad_{name}") < bound
        assert error(by_z, z) < bound

    explored = torch.zeros(len(chosen), dtype=torch.bool)
    monkeypatch.setattr(brainprop, "choose", lambda q, epsilon, team: (chosen, explored))
    lesson = learn_by_brainprop(net, data, target, rate(golden["learning_rate"].item()))
    assert relative_error(lesson.output, golden[f"{kind}_a"]) < bound
    for name, kernel in zip(LAYERS[kind], net.kernels, strict=True):
        assert error(kernel.T, f"{name}_after") < bound


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", ["lin", "mlp"])
def test_published_cross_entropy(golden, kind, dtype):
    net, data, target = golden_case(golden, kind, dtype)
    q, bound = net(data), TOLERANCE[dtype]
    loss = ebp_loss(q, target)
    assert relative_error(loss, golden[f"{kind}_ebp_loss"]) < bound
    by_q, *by_kernels = torch.autograd.grad(loss, [q, *net.kernels])
    assert relative_error(by_q, golden[f"{kind}_ebp_grad_a"]) < bound
    for name, gradient in zip(LAYERS[kind], by_kernels, strict=True):
        assert relative_error(gradient.T, golden[f"{kind}_ebp_grad_{name}"]) < bound


@pytest.mark.parametrize("kind", ["lin", "mlp"])
def test_choice_without_exploration_is_the_published_one(golden, kind):
    chosen, explored = choose(torch.from_numpy(golden[f"{kind}_a"]), 0.0)
    assert chosen.tolist() == golden[f"{kind}_greedy_selected"].tolist() and not explored.any()


# ---------------------------------------------------------------------------------- the statistics


@pytest.mark.parametrize("kind", ["lin", "mlp"])
@pytest.mark.parametrize("epsilon", [None, 0.5, 1.0])
def test_units_are_chosen_as_often_as_published(golden, kind, epsilon):
    """Every frequency within 5 standard deviations: one false alarm in a million."""
    q = torch.from_numpy(golden[f"{kind}_a"])
    expected = golden[f"{kind}_select_prob"]
    if epsilon is not None:
        greedy = np.eye(q.shape[1])[golden[f"{kind}_argmax"]]
        expected = (1 - epsilon) * greedy + epsilon * golden[f"{kind}_softmax"]
    n = 40_000
    torch.manual_seed(1)
    chosen, explored = choose(
        q.repeat(n, 1), golden["epsilon"].item() if epsilon is None else epsilon
    )
    counts = F.one_hot(chosen, q.shape[1]).unflatten(0, (n, len(q))).sum(0).numpy()
    assert (
        np.abs(counts - n * expected) <= 5 * np.sqrt(n * expected * (1 - expected)) + 1e-6
    ).all()
    total, share = n * len(q), EPSILON if epsilon is None else epsilon
    assert abs(explored.sum().item() - total * share) <= 5 * math.sqrt(total * share * (1 - share))


def test_explored_unit_is_a_draw_from_the_softmax_and_the_others_are_greedy():
    q = torch.tensor([[2.0, 0.0, 1.0, -1.0]]).repeat(200_000, 1)
    torch.manual_seed(2)
    chosen, explored = choose(q, 0.3)
    assert (chosen[~explored] == 0).all()
    n = int(explored.sum())
    shares = chosen[explored].bincount(minlength=4) / n
    p = q[0].softmax(0)
    assert ((shares - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()


def test_exploring_is_independent_of_the_sample_before():
    torch.manual_seed(3)
    _, explored = choose(torch.zeros(100_000, 3), 0.5)
    pairs = (explored[1:] & explored[:-1]).double().mean().item()
    assert pairs == pytest.approx(0.25, abs=0.01)


def test_measure_counts_the_draws():
    net = build_classifier("dense", (4,), 3, epsilon=1.0)
    data, target = small_batch(net, dtype=torch.float32)
    assert learn_by_brainprop(net, data, target, rate(0.1)).measures["explored"] == 1.0
    net.epsilon = 0.0
    assert learn_by_brainprop(net, data, target, rate(0.1)).measures["explored"] == 0.0
    assert build_classifier("dense", (4,), 3).epsilon == EPSILON == 0.02


# ---------------------------------------------------------------------------------------- the rule


def test_averaged_over_all_choices_the_update_is_the_gradient_of_the_squared_error():
    net = build_classifier("conv", IMAGES, 5).double().eval()
    data, target = small_batch(net)
    q = net(data)
    squared_error = (target - q).square().sum() / (2 * len(q))
    expected = torch.autograd.grad(squared_error, net.kernels, retain_graph=True)
    one_each = [
        torch.autograd.grad(
            brainprop_loss(q, torch.full((len(q),), k), target), net.kernels, retain_graph=True
        )
        for k in range(5)
    ]
    for gradient, *parts in zip(expected, *one_each, strict=True):
        mean = torch.stack(parts).mean(0)
        torch.testing.assert_close(mean, gradient / 5, rtol=1e-10, atol=1e-16)


def test_update_is_local_attention_times_one_reward_prediction_error():
    """The rule synapse by synapse: activity x feedback from the chosen unit x global error."""
    net = build_classifier("dense", (7,), 4, seed=2).double()
    data, target = small_batch(net, n=1)
    activity = [data[0]]
    for kernel in net.kernels:
        v = kernel @ activity[-1]
        activity.append(v if len(activity) == 4 else v.relu())
    k = activity[-1].argmax()
    delta = target[0, k] - activity[-1][k]
    feedback = F.one_hot(k, 4).double()
    expected = []
    for kernel, below in zip(reversed(net.kernels), reversed(activity[:-1]), strict=True):
        expected.insert(0, kernel + 0.1 * delta * torch.outer(feedback, below))
        feedback = (kernel.T @ feedback) * (below > 0)
    expected = [kernel.detach() for kernel in expected]
    net.epsilon = 0.0
    learn_by_brainprop(net, data, target, rate(0.1))
    for kernel, wanted in zip(net.kernels, expected, strict=True):
        torch.testing.assert_close(kernel.detach(), wanted, rtol=1e-12, atol=1e-18)


def test_chosen_unit_of_output_zero_learns():
    """The published program takes it for not chosen."""
    net = linear_net(torch.zeros(3, 2, dtype=torch.float64))
    data = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    target = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    net.epsilon = 0.0
    lesson = learn_by_brainprop(net, data, target, rate(0.1))
    assert (lesson.output == 0).all()
    expected = torch.tensor([[0.1, 0.05], [0, 0], [0, 0]], dtype=torch.float64)
    torch.testing.assert_close(net.kernels[0].detach(), expected)


@pytest.mark.parametrize("learn", [learn_by_brainprop, learn_by_ebp])
def test_a_smaller_batch_is_divided_by_its_own_size(learn):
    """One sample, and the same sample twice, teach the same."""
    updated = []
    for copies in (1, 2):
        net = build_classifier("dense", (6,), 3, epsilon=0.0).double()
        data, target = small_batch(net, n=1)
        learn(net, data.repeat(copies, 1), target.repeat(copies, 1), rate(0.5))
        updated.append(net.kernels)
    for one, two in zip(*updated, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-18)


def test_unchosen_outputs_and_silent_rewards_change_nothing():
    q = torch.tensor([[0.0, 3.0, 1.0]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(brainprop_loss(q, torch.tensor([1]), target), q)
    assert gradient.tolist() == [[0.0, 2.0, 0.0]]  # -(r - q_k) with r = 1
    (gradient,) = torch.autograd.grad(brainprop_loss(q, torch.tensor([0]), target), q)
    assert gradient.tolist() == [[0.0, 0.0, 0.0]]  # no reward was predicted and none came


@pytest.mark.parametrize("learn", [learn_by_brainprop, learn_by_ebp])
def test_penalty_is_the_sum_of_squares_of_the_kernels_alone(learn):
    nets = [build_classifier("deep", (1, 8, 8), 3).double() for _ in range(2)]
    nets[1].l2 = 0.0
    assert nets[0].l2 == 5e-4
    data, target = small_batch(nets[0])
    before = [kernel.detach().clone() for kernel in nets[0].kernels]
    for net in nets:
        torch.manual_seed(0)
        learn(net, data, target, rate(0.1))
    for old, decayed, plain in zip(before, nets[0].kernels, nets[1].kernels, strict=True):
        torch.testing.assert_close(plain - decayed, 0.1 * 2 * 5e-4 * old, rtol=1e-8, atol=1e-16)
    for (name, decayed), plain in zip(
        nets[0].named_parameters(), nets[1].parameters(), strict=True
    ):
        if decayed.ndim == 1:  # of batch normalisation
            assert torch.equal(decayed, plain), name


def surprise(output, target):
    """Cross-entropy of an output that is softmax(q) already, as that of EBP is."""
    return -(target * output.log()).sum(1).mean()


def error_of_all_units(q, target):
    return (q - target).square().sum() / len(q)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "learn, loss", [(learn_by_brainprop, error_of_all_units), (learn_by_ebp, surprise)]
)
def test_every_architecture_learns_its_batch(architecture, learn, loss):
    """Not a test of how well: the loss on one batch falls, and testing changes nothing."""
    net = build_classifier(architecture, IMAGES, 3, epsilon=1.0)  # so that every unit is chosen
    generator = torch.Generator().manual_seed(1)
    for kernel in net.kernels:  # the published weights are too small to learn within seconds
        nn.init.kaiming_normal_(kernel, generator=generator)
    net.kernels[-1].data.mul_(0.1)
    for layer in net:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    data, target = small_batch(net, n=9, dtype=torch.float32)
    torch.manual_seed(0)
    losses = [loss(learn(net, data, target, rate(0.003)).output, target) for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_testing_changes_nothing_and_learning_goes_on(architecture):
    net = build_classifier(architecture, IMAGES, 3)
    batch = small_batch(net, dtype=torch.float32)
    learn_by_brainprop(net, *batch, rate(0.1))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    random_state = torch.get_rng_state()
    answers = [look(net, *batch, rate(0.1)).output for _ in range(2)]
    assert torch.equal(*answers) and not answers[0].requires_grad and not net.training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    learn_by_brainprop(net, *batch, rate(0.1))
    assert net.training


@pytest.mark.parametrize("architecture", ["conv", "loccon"])
def test_same_global_seed_same_step(architecture):
    """All randomness of a step comes from torch's global generator, so that a run can go on."""
    results = []
    for seed in (7, 7, 8):
        net = build_classifier(architecture, IMAGES, 3)
        data, target = small_batch(net, dtype=torch.float32)
        torch.manual_seed(seed)
        results.append(learn_by_brainprop(net, data, target, rate(0.1)).output)
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


# --------------------------------------------------------------------------------------- the nets


FEATURES = {  # inputs of the layer of 500 units
    ("conv", 28): 14 * 14 * 32,
    ("conv", 32): 16 * 16 * 32,
    ("loccon", 28): 12 * 12 * 32,
    ("loccon", 32): 14 * 14 * 32,
    ("deep", 28): 3 * 3 * 128,
    ("deep", 32): 4 * 4 * 128,
    ("deep", 64): 8 * 8 * 128,
}


def expected_parameters(architecture, shape, n_classes):
    channels, side, _ = shape
    if architecture == "dense":
        return math.prod(shape) * 1500 + 1500 * 1000 + 1000 * 500 + 500 * n_classes
    top = FEATURES[architecture, side] * 500 + 500 * n_classes
    if architecture == "deep":
        filters = [channels, 64, 64, 128, 128, 128, 128, 128]
        pairs = zip(filters[:-1], filters[1:], strict=True)
        return top + sum(9 * a * b + 2 * b for a, b in pairs)
    places = ((side - 2) ** 2, ((side - 3) // 2) ** 2) if architecture == "loccon" else (1, 1)
    return top + places[0] * 9 * channels * 32 + 64 + places[1] * 9 * 32 * 32 + 64


@pytest.mark.parametrize(
    "architecture, shape",
    [
        ("dense", (1, 28, 28)),
        ("conv", (1, 28, 28)),
        ("conv", (3, 32, 32)),
        ("loccon", (1, 28, 28)),
        ("loccon", (3, 32, 32)),
        ("deep", (1, 28, 28)),
        ("deep", (3, 32, 32)),
        ("deep", (3, 64, 64)),
    ],
)
def test_published_sizes(architecture, shape):
    net = build_classifier(architecture, shape, 10)
    assert sum(p.numel() for p in net.parameters()) == expected_parameters(architecture, shape, 10)
    assert net.kernels[-1].shape == (10, 500)
    q = look(net, *small_batch(net, n=2, dtype=torch.float32), rate(0.1)).output
    assert q.shape == (2, 10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_published_layers(architecture):
    net = build_classifier(architecture, (1, 28, 28), 10)
    kinds = [type(layer).__name__ for layer in net]
    hidden = {
        "dense": ["Flatten"] + 3 * ["Linear", "ReLU"],
        "conv": ["ChannelsLast"]
        + 2 * ["Conv2d", "ReLU", "BatchNorm"]
        + ["FlattenImages", "Dropout"],
        "loccon": ["ToPositions"]
        + 2 * ["LocallyConnected", "ReLU", "BatchNorm"]
        + ["Dropout", "FromPositions"],
        "deep": ["ChannelsLast"]
        + 2 * (2 * ["Conv2d", "ReLU", "BatchNorm"] + ["MaxPool2d", "Dropout"])
        + 3 * ["Conv2d", "ReLU", "BatchNorm"]
        + ["MaxPool2d", "Dropout", "FlattenImages"],
    }[architecture]
    top = [] if architecture == "dense" else ["Linear", "ReLU", "Dropout"]
    assert kinds == [*hidden, *top, "Linear"]
    rates = {"dense": [], "conv": [0.3, 0.3], "loccon": [0.3, 0.3], "deep": [0.3, 0.3, 0.8, 0.3]}
    assert [m.p for m in net if isinstance(m, nn.Dropout)] == rates[architecture]
    assert not any("bias" in name and "weight" in name for name, _ in net.named_parameters())
    for layer in net:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert layer.bias is None
        if isinstance(layer, BatchNorm):
            assert layer.eps == 1e-3 and layer.momentum == 0.01


@pytest.mark.parametrize("architecture, std", [("dense", 0.01), ("conv", 0.005), ("loccon", 0.005)])
def test_initial_weights_are_the_published_normal(architecture, std):
    for kernel in build_classifier(architecture, (1, 28, 28), 10, seed=3).kernels:
        n = kernel.numel()
        assert abs(kernel.mean().item()) <= 5 * std / math.sqrt(n)
        assert abs(kernel.std().item() / std - 1) <= 5 / math.sqrt(2 * n)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_depend_on_the_seed_alone(architecture):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    nets = [build_classifier(architecture, IMAGES, 4, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    states = [net.state_dict() for net in nets]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(nets[0].kernels[0], nets[2].kernels[0])


def test_dense_takes_data_of_any_shape():
    net = build_classifier("dense", (13,), 3)
    assert look(net, *small_batch(net, dtype=torch.float32), rate(0.1)).output.shape == (6, 3)


@pytest.mark.parametrize(
    "architecture, shape, named",
    [
        ("deep", (1, 7, 7), ["deep", "max-pooling layer 3", "1x1", "2x2"]),
        ("deep", (3, 64, 5), ["deep", "max-pooling layer 3", "16x1", "2x2"]),
        ("loccon", (1, 2, 2), ["loccon", "locally connected layer 1", "2x2", "3x3"]),
        ("loccon", (3, 4, 9), ["loccon", "locally connected layer 2", "2x7", "3x3"]),
        ("conv", (13,), ["conv", "(13,)", "dense"]),
        ("sparse", (1, 28, 28), ["sparse", *ARCHITECTURES]),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(architecture, shape, named):
    with pytest.raises(ValueError) as caught:
        build_classifier(architecture, shape, 10)
    assert all(part in str(caught.value) for part in named), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options, named", [({"n_classes": 1}, "n_classes is 1"), ({"epsilon": 1.5}, "epsilon is 1.5")]
)
def test_arguments_out_of_range(options, named):
    with pytest.raises(ValueError, match=named):
        build_classifier("dense", (4,), **{"n_classes": 3, **options})


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 5, 5)])
def test_smallest_images(shape):
    for architecture in ("conv", "loccon", "deep") if shape[1] == 8 else ("conv", "loccon"):
        net = build_classifier(architecture, shape, 3)
        data, target = small_batch(net, dtype=torch.float32)
        assert learn_by_brainprop(net, data, target, rate(0.1)).output.isfinite().all()


# ----------------------------------------------------------------------------- locally connected


def plain_locally_connected(layer, x):
    """One position after the other; x and the result (batch, channels, height, width)."""
    rows, columns = layer.size_out
    result = x.new_zeros(len(x), layer.weight.shape[2], rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, left = i * layer.stride, j * layer.stride
            patch = x[:, :, top : top + 3, left : left + 3].permute(0, 2, 3, 1).flatten(1)
            result[:, :, i, j] = patch @ layer.weight[i * columns + j]
    return result


def run_locally_connected(layer, x):
    y = layer(ToPositions()(x))  # (positions, filters, batch)
    return y.unflatten(0, layer.size_out).permute(3, 2, 0, 1)


@pytest.fixture(params=[(1, (5, 5), 1), (3, (6, 9), 1), (3, (6, 9), 2), (2, (8, 7), 2)])
def untied(request):
    channels, size, stride = request.param
    layer = LocallyConnected(channels, 4, size, stride).double()
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    x = torch.rand(5, channels, *size, dtype=torch.float64, requires_grad=True)
    return layer, x


def test_locally_connected_equals_a_plain_loop(untied):
    layer, x = untied
    y, plain = run_locally_connected(layer, x), plain_locally_connected(layer, x)
    torch.testing.assert_close(y, plain)
    weighting = torch.randn_like(y)
    gradients = [torch.autograd.grad((z * weighting).sum(), [x, layer.weight]) for z in (y, plain)]
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)


def test_locally_connected_with_tied_filters_is_a_convolution(untied):
    layer, x = untied
    kernel = torch.randn(
        3, 3, x.shape[1], 4, dtype=torch.float64
    )  # rows, columns, channels, filters
    with torch.no_grad():
        layer.weight.copy_(kernel.flatten(0, 2).expand_as(layer.weight))
    expected = F.conv2d(x, kernel.permute(3, 2, 0, 1), stride=layer.stride)
    torch.testing.assert_close(run_locally_connected(layer, x), expected)


def test_positions_there_and_back():
    x = torch.rand(5, 3, 4, 6)
    there = ToPositions()(x)
    assert there.shape == (24, 3, 5)
    torch.testing.assert_close(FromPositions()(there), x.permute(0, 2, 3, 1).flatten(1))


def test_batch_normalisation_of_positions_is_that_of_images():
    x = torch.rand(5, 3, 4, 6)
    ours = nn.BatchNorm1d(3)(ToPositions()(x))
    torch.testing.assert_close(ours, ToPositions()(nn.BatchNorm2d(3)(x)))


# ----------------------------------------------------------------------------- the other layers


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_is_a_matter_of_memory_alone(channels):
    x = torch.rand(2, channels, 4, 6)
    y = ChannelsLast()(x)
    assert torch.equal(y, x)
    assert y.stride() == (24 * channels, 1, 6 * channels, channels)
    assert torch.equal(FlattenImages()(y), x.permute(0, 2, 3, 1).flatten(1))
    assert FlattenImages()(y).data_ptr() == y.data_ptr()  # a view


@pytest.mark.parametrize("architecture", ["conv", "deep"])
def test_no_layout_is_copied_between_the_layers(architecture):
    x = torch.rand(4, 3, 16, 16)
    for layer in build_classifier(architecture, (3, 16, 16), 3):
        x = layer(x)
        if x.ndim == 4:
            assert x.is_contiguous(memory_format=torch.channels_last), layer


def test_margin_of_the_second_convolution_is_the_published_one_for_mirrored_images():
    """The published program pads an even size at the end, torch at the beginning."""
    x, weight = torch.rand(2, 3, 8, 8), torch.rand(4, 3, 3, 3)
    published = F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, stride=2)
    ours = F.conv2d(x.flip(2, 3), weight.flip(2, 3), stride=2, padding=1)
    torch.testing.assert_close(ours.flip(2, 3), published)


@pytest.mark.parametrize("rate_", [0.3, 0.8])
@pytest.mark.parametrize("layout", ["flat", "channels last", "positions"])
def test_dropout(rate_, layout):
    drop = Dropout(rate_)
    x = torch.full((50, 7, 11, 13), 2.0, dtype=torch.float64)  # not a multiple of four numbers
    x = {"flat": x.flatten(1), "channels last": ChannelsLast()(x), "positions": x.flatten(2)}[
        layout
    ]
    x.requires_grad_()
    torch.manual_seed(0)
    y = drop(x)
    kept = y != 0
    n, p = x.numel(), 1 - rate_
    assert abs(kept.sum().item() - n * p) <= 5 * math.sqrt(n * p * (1 - p))
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 2 / p), rtol=1e-4, atol=0)
    assert y.stride() == x.stride()
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, y / 2)
    assert not torch.equal(drop(x), y)
    torch.manual_seed(0)
    assert torch.equal(drop(x), y)
    assert drop.eval()(x) is x and Dropout(0.0)(x) is x


def test_dropout_drops_units_independently():
    torch.manual_seed(1)
    kept = Dropout(0.5)(torch.ones(200_000)) != 0
    for distance in (1, 2, 3, 4, 8):
        both = (kept[distance:] & kept[:-distance]).double().mean().item()
        assert both == pytest.approx(0.25, abs=0.006), distance


def test_keeping_memory_is_a_wish(monkeypatch):
    """It is fulfilled by glibc; beside another C library the program does without."""
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(brainprop.ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
