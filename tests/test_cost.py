"""Passes through the weights: counted by hand, and by torch."""

import contextlib
import csv
import dataclasses

import commands
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from netClasses import AsymmetricConvEP, AsymmetricEPdisc, EPdisc, convEP
from networks.architectures import build_classifier
from networks.cost import Products, is_counted, passes
from networks.directed import DEEP, AsymmetricEP
from networks.schedule import Schedule
from networks.smallWorld import SmallWorldEP
from networks.topology import wire_up
from records.checkpoint import read_checkpoint
from report.experiments import experiments_of
from report.reader import read_results

aten = torch.ops.aten


class Flops(TorchDispatchMode):
    """Counts by torch's own formulas, to which products in place are added."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def watched(self, func, types, args=(), kwargs=None):
        out, kind = func(*args, **(kwargs or {})), func.overloadpacket
        count = flop_registry.get(aten.addmm if kind is aten.addmm_ else kind)
        self.total += count(*args, **(kwargs or {}), out_val=out) if count else 0
        return out


Flops.__torch_dispatch__ = Flops.watched  # as of `Products`


def batch_of(net_shape, n=6, n_out=3):
    torch.manual_seed(0)
    return torch.rand(n, *net_shape), torch.eye(n_out)[torch.arange(n) % n_out]


PLAN = Schedule(T=4, Kmax=3, beta=0.5, lr_tab=[0.1] * 9, batch_size=6)
NETWORKS = {
    "EP": (lambda: EPdisc([3, 5, 7, 8]), (8,)),
    "BPTT": (lambda: EPdisc([3, 5, 8], loss="squared"), (8,)),
    "BP": (lambda: convEP([3], [4, 2, 1], (10, 10), Fconv=3), (1, 10, 10)),
    "coupled": (lambda: AsymmetricEPdisc([3, 5, 8]), (8,)),
    "EP with a read-out": (
        lambda: convEP([3], [4, 2, 1], (22, 22), loss="cross-entropy"),
        (1, 22, 22),
    ),
    "EP of maps": (
        lambda: AsymmetricConvEP([3, 6], [4, 2, 1], (22, 22), pool=["average"]),
        (1, 22, 22),
    ),
    "EP with skips": (lambda: SmallWorldEP(wire_up([3, 5, 5, 8], 0.2)), (8,)),
    "DEEP": (lambda: DEEP(8, 5, 3, n_nets=2, dtype=torch.float32), (8,)),
    "asymEP": (lambda: AsymmetricEP(8, 5, 3, n_nets=2, dtype=torch.float32), (8,)),
    "BrainProp": (lambda: build_classifier("loccon", (1, 9, 9), 3), (1, 9, 9)),
    "EBP": (lambda: build_classifier("conv", (1, 8, 8), 3), (1, 8, 8)),
}


@pytest.mark.parametrize("solver", ["step", "relax"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_product_is_counted_and_changes_nothing(name, solver):
    build, shape = NETWORKS[name]
    rule, nets = name.split()[0], [build() for _ in range(3)]
    if solver == "relax" and (nets[0].restless or rule in ("BrainProp", "EBP", "BP")):
        pytest.skip("is never relaxed")
    plan = dataclasses.replace(PLAN, solver=solver, lr_tab=[0.1] * nets[0].n_rates)
    batch = batch_of(shape)
    counters = Products(), Flops()
    for net, counter in zip(nets, (*counters, contextlib.nullcontext()), strict=True):
        torch.manual_seed(1)
        with counter:
            net.rules[rule].learn(net, *batch, plan, None)
    assert 2 * counters[0].total == counters[1].total > 0
    counted, _, plain = nets
    for name, value in plain.state_dict().items():
        assert torch.equal(counted.state_dict()[name], value)


def test_the_passes_of_a_layered_network_by_hand():
    """One pass for the data, two uses of the upper weights in each step, and the rule."""
    net = EPdisc([3, 5, 8])
    two_rates = dataclasses.replace(PLAN, lr_tab=[0.1, 0.1])
    with Products() as products:
        net.rules["EP"].learn(net, *batch_of((8,)), two_rates, None)
    upper, lower = 3 * 5, 5 * 8
    by_hand = lower + 7 * 2 * upper + lower + 2 * upper
    assert net.multiplications == upper + lower
    assert products.total == 6 * by_hand
    assert passes(net, products.total, 6) == round(by_hand / (upper + lower), 4)


def test_the_passes_of_backpropagation_by_hand():
    """One forwards, one for the weights, and one for the layers below but the data."""
    net = EPdisc([3, 5, 8])
    two_rates = dataclasses.replace(PLAN, lr_tab=[0.1, 0.1])
    with Products() as products:
        net.rules["BP"].learn(net, *batch_of((8,)), two_rates, None)
    assert products.total == 6 * (2 * (3 * 5 + 5 * 8) + 3 * 5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pass_is_what_the_network_takes_forwards(name):
    build, shape = NETWORKS[name]
    net, (data, _) = build(), batch_of(shape, 1)
    with torch.no_grad(), Products() as products:
        if name in ("BrainProp", "EBP"):
            net.eval()(data)
        elif "BP" in net.rules:
            net.output(net.feedforward(net.drive(data)))
        else:  # a graph has no direction: its connections
            links = net.topology.links if name == "EP with skips" else net.mask.expand(2, -1, -1)
            products.total = int(links.sum())
    assert net.multiplications == products.total


def test_which_epochs_are_counted():
    assert all(is_counted(epoch, 50) for epoch in range(1, 9))
    assert [epoch for epoch in range(1, 120) if is_counted(epoch, 1)] == [1, 51, 101]
    assert [epoch for epoch in range(1, 9) if is_counted(epoch, 20)] == [1, 3, 6, 8]


WORDS = "--dataset digits --train-samples 200 --test-samples 100 --discrete --size_tab 10 16 64"


def run_in(place, words):
    commands.call(*words)
    return commands.only_run(place / "results")


def rows_of(folder):
    with open(folder / "metrics.csv") as file:
        return list(csv.DictReader(file))


def test_a_run_says_what_it_cost(place):
    words = f"{WORDS} --T 6 --Kmax 4 --benchmark --epochs 2 --batch-size 4".split()
    run = run_in(place, words)
    rows, arrays = rows_of(run), np.load(run / "results.npz")
    upper, lower = 10 * 16, 16 * 64
    ep = (2 * lower + 10 * 2 * upper + 2 * upper) / (upper + lower)
    assert list(rows[0])[-1] == "products"
    assert [float(row["products"]) for row in rows if row["method"] == "EP"] == [round(ep, 4)] * 2
    assert arrays["EP_products"].tolist() == [round(ep, 4)] * 2
    old = read_checkpoint(run / "checkpoint.pt")  # of a program that did not count
    del old["progress"]["products"]
    for row in old["progress"]["rows"]:
        del row["products"]
    torch.save(old, run / "checkpoint.pt")
    commands.call("--resume", run, "--epochs", 3)
    found = [row["products"] for row in rows_of(run) if row["method"] == "EP"]
    assert found == ["", "", str(round(ep, 4))]
    reported = experiments_of(read_results([place]).runs)
    assert {one.spread("products").mean for one in reported if one.method == "EP"} == {
        float(found[-1])
    }
