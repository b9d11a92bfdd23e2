"""States, updates and gradients of every network against numbers of the published programs."""

import goldenCases
import pytest
import torch

from networks.gradients import bptt_gradients

DTYPES = [torch.float64, torch.float32]
NAMES = goldenCases.names("epcont", "epdisc", "toy", "conv")
PAIRS = [(n, d) for n in NAMES for d in DTYPES if d == torch.float64 or "_converged" not in n]


def identify(pair) -> str:
    return f"{pair[0]}-{str(pair[1])[6:]}"


@pytest.fixture(params=PAIRS, ids=identify)
def case(request):
    return goldenCases.load(*request.param)


def phases(case):
    """The drive and the states at the end of the free and of the nudged phase."""
    net = case.net
    with torch.no_grad():
        drive = net.drive(case.x)
        s_free = net(drive, net.initHidden(drive), case.number("T"))
        s_nudged = net(drive, s_free, case.number("Kmax"), case.y, case.number("beta"))
    return drive, s_free, s_nudged


def test_states_and_loss(case):
    _, s_free, s_nudged = phases(case)
    for i, (free, nudged) in enumerate(zip(s_free, s_nudged, strict=True)):
        case.check(free, f"s_free_{i}")
        case.check(nudged, f"s_nudged_{i}")
    loss = (s_free[0] - case.y).square().sum() / (2 * len(case.y))
    case.check(loss, "loss_free")


def test_update_of_ep(case):
    drive, s_free, s_nudged = phases(case)
    beta = case.number("beta")
    gradients = case.net.computeGradients(drive, s_free, s_nudged, beta)
    for key, (w, b) in zip(case.keys, gradients, strict=True):
        case.check(w, f"gradW{key}", update=True)
        if f"gradb{key}" in case.values:  # the toy model's file has no bias gradients
            case.check(b, f"gradb{key}", update=True)


@pytest.mark.parametrize(
    "case", [p for p in PAIRS if not p[0].startswith("toy")], ids=identify, indirect=True
)
def test_weights_after_the_update(case):
    drive, s_free, s_nudged = phases(case)
    lr_tab = case.values["lr_tab"].tolist()
    case.net.learn(drive, s_free, s_nudged, case.number("beta"), lr_tab)
    for key, (w, b) in zip(case.keys, case.net.synapses, strict=True):
        for parameter, stored in ((w, after(key, "W")), (b, after(key, "b"))):
            if stored in case.values:  # large convolutional weights are not stored
                case.check(parameter, stored, update=True)


def after(key: str, kind: str) -> str:
    """Name of a parameter after EP's update: W_ep_0, Wfc_ep_0, bconv_ep_1."""
    group, number = key.split("_")
    return f"{kind}{group}_ep_{number}"


def gradients_of_bptt(case):
    """The published programs go back Kmax + 1 steps for EPcont and EPdisc, Kmax for the others."""
    K = case.number("Kmax") + case.name.startswith("ep")
    return bptt_gradients(case.net, case.x, case.y, case.number("T"), K)[1]


def test_gradient_of_bptt(case):
    for key, (w, b) in zip(case.keys, gradients_of_bptt(case), strict=True):
        case.check(w, f"bptt_gradW{key}", update=True)
        if f"bptt_gradb{key}" in case.values:
            case.check(b, f"bptt_gradb{key}", update=True)


@pytest.mark.parametrize(
    "case", [p for p in PAIRS if p[0].startswith("ep")], ids=identify, indirect=True
)
def test_weights_after_bptt(case):
    gradients = gradients_of_bptt(case)
    case.net.updateWeights(gradients, [-lr for lr in case.values["lr_tab"].tolist()])
    for key, (w, b) in zip(case.keys, case.net.synapses, strict=True):
        case.check(w, f"W_bptt{key}")
        case.check(b, f"b_bptt{key}")
