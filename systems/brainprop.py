"""BrainProp beside error backpropagation (EBP), Pozzi et al. 2020."""

from __future__ import annotations

import math

from errors import UserError
from options.values import held_share, natural, share
from systems.base import COST, OPTIMISING, Measure, Preset, System, rates_with

BATCH_SIZE = {"dense": 128, "conv": 128, "loccon": 32, "deep": 128}  # as published
EPSILON = 0.02  # of networks/architectures.py
PUBLISHED_DATASETS = {  # of the published command line: <dataset> <architecture> <algorithm>
    "MNIST": "mnist",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "TinyImageNet": "tiny-imagenet",
}
PAIRS = [("MNIST", name) for name in ("dense", "loccon", "conv")]
PAIRS += [(data, n) for data in ("CIFAR10", "CIFAR100") for n in ("loccon", "conv", "deep")]
PAIRS += [("TinyImageNet", "deep")]


class BrainProp(System):
    name = "feedforward"
    title = "BrainProp beside error backpropagation"
    reference = "Pozzi et al. 2020"
    paper_key = "brainprop"
    rules = ("BrainProp", "EBP")
    selectors = frozenset({"architecture"})
    owns = frozenset({"architecture", "epsilon", "validation", "patience"}) | OPTIMISING
    owns |= {"size_tab"}
    learning = frozenset({"epsilon", "validation", "patience"}) | OPTIMISING
    structure = frozenset({"architecture", "size_tab"})
    has_phases = False
    rule_leaves_out = {"EBP": frozenset({"epsilon", "cosine_samples"})}
    kept_epoch = True
    shown_as = "accuracy"
    defaults = {
        "epochs": 500,
        "architecture": "dense",
        "validation": "0.1",
        "patience": 45,
        "halve_every": 100,
        "test_batch_size": 128,
    }
    measures = (
        Measure("test_accuracy", "Test accuracy", "%"),
        Measure("train_accuracy", "Training accuracy", "%"),
        Measure("epochs", "Best epoch", "", 1),
        *COST,
    )
    presets = {
        f"brainprop-{PUBLISHED_DATASETS[data]}-{name}": Preset(
            f"--dataset {PUBLISHED_DATASETS[data]} --architecture {name} "
            "--training-method BrainProp",
            (f"{data} {name}",),
            "a tenth of the training data decides when to stop, not the test data "
            "(--validation test)",
        )
        for data, name in PAIRS
    }

    def add_options(self, parser):
        group = parser.group("BrainProp", "names as in Pozzi et al. 2020")
        group.add_argument(
            "--architecture",
            choices=list(BATCH_SIZE),
            help="the network; left out: dense; other options follow from it as published",
        )
        group.add_argument(
            "--epsilon", type=share, default=EPSILON, help="share of choices drawn from the softmax"
        )
        group.add_argument(
            "--validation",
            type=held_share,
            metavar="SHARE",
            help="of the training data, which decides on the best epoch and the end; test: the "
            "test data decide, as in the published program; left out: 0.1",
        )
        group.add_argument(
            "--patience",
            type=natural,
            metavar="EPOCHS",
            help="end after so many without 0.1 %% less error; 0: never; left out: 45",
        )

    def is_meant(self, args):
        return args.training_method in self.rules or args.architecture is not None

    def defaults_of(self, args):
        batch_size = BATCH_SIZE[args.architecture or "dense"]
        return self.defaults | {"batch_size": batch_size, "lr_tab": rates_with(args, [0.1])}

    def check(self, args, typed):
        if not args.benchmark and args.training_method not in self.rules:
            raise UserError("--architecture nets learn by --training-method BrainProp or EBP")
        if args.size_tab and args.architecture != "dense":
            raise UserError(
                f"--size_tab is for --architecture dense: {args.architecture} has the layers of "
                "the paper"
            )

    def settle(self, args, data):
        if data.n_classes < 2:
            raise UserError(
                f"--dataset {args.dataset} has one output, these nets choose among some"
            )
        if len(args.lr_tab) != 1:
            raise UserError(
                f"--lr_tab has {len(args.lr_tab)} values, these nets learn with one rate"
            )
        ends = (data.n_classes, math.prod(data.shape))
        if args.size_tab and (
            len(args.size_tab) < 2 or (args.size_tab[0], args.size_tab[-1]) != ends
        ):
            raise UserError(
                f"--size_tab {' '.join(map(str, args.size_tab))} must start with {ends[0]} and end "
                f"in {ends[1]}, the outputs and the inputs of {args.dataset}"
            )
        return {}

    def build(self, args, data):
        from networks.architectures import build_classifier
        from networks.brainprop import keep_freed_memory

        if args.device_label < 0:
            keep_freed_memory()
        hidden = args.size_tab[-2:0:-1] if args.size_tab else None
        return build_classifier(
            args.architecture, data.shape, data.n_classes, args.seed, args.epsilon, hidden
        )

    def cosine(self, net, method, data, target, schedule):
        from networks.brainprop import cosine_to_backpropagation

        return cosine_to_backpropagation(net, data, target) if method == "BrainProp" else math.nan

    def stored_values(self, net, method, x, schedule):
        from networks.storage import stored_activities

        return stored_activities(net, x)

    def folder_name(self, args):
        return f"brainprop_{args.architecture}"


BRAINPROP = BrainProp()
