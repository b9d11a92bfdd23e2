"""Directed EP (DEEP, Tristany Farinha et al. 2020) and asymmetric EP (Scellier et al. 2018)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from errors import UserError
from options.parser import Flag
from options.values import finite, natural, not_negative, positive, positive_int
from systems.base import COST, MEASURING, OPTIMISING, Measure, Preset, System, rates_with

TUNED_ASYM = "--dt 0.1 --T 200 --Kmax 100 --beta 5 --dt_W 5 --epochs 500"
EXACT = (
    "--nudge linear --units sigmoid --optimizer adam --dt_W 0.1 --init-std 1 --init-state 0 "
    "--dt 0.5 --T 60 --epochs 300"
)
SPARSE = "--sparse --regularized --init-state 0"
SPARSE_EASY = f"{SPARSE} --dt 0.2 --T 500 --Kmax 50 --beta 5 --dt_W 10 --reg_W 0.0002 --epochs 1000"
FRESH_START = (
    "more hidden neurons, larger first weights, and free phases that start at 0: with the "
    "published settings (deep-xor-published) fewer than a third of the networks learn"
)
FOLLOWED = "the exact gradient instead of the published rule, smooth neurons, Adam"
FASTER = "weights 5 times faster, a shorter second phase, more epochs"
OURS = "the paper gives no settings for sparsification; these are ours"
ASYM_AND, ASYM_OR, ASYM_XOR = ((f"asymmetric EP, {task}",) for task in ("AND", "OR", "XOR"))


LOOKED_AT = 51  # steps that networks/directedNetwork.py keeps at a time
LARGEST_STEP = 1e5  # of the weights, with which anything was seen to be learnt is far below
UPDATES_PER_SECOND = 4e7  # of states, on one core of an AMD EPYC, with what DEEP's rule gathers
LONG = 10.0  # minutes, of a training that is told beforehand how long it is


class Directed(System):
    """One of the two: networks on a graph of one-way connections, many of them at once."""

    name = "directed"
    selectors = frozenset({"training_method"})
    owns = frozenset(
        {"N_H", "layered", "num_net", "one_hot", "dt_W", "sign", "regularized", "reg_W", "sparse"}
        | {"tol_W", "temp", "stop", "init_std", "init_state"}
        | OPTIMISING
    )
    learning = frozenset({"dt_W", "sign", "regularized", "reg_W", "sparse", "tol_W", "temp"})
    learning |= OPTIMISING
    structure = frozenset({"N_H", "layered", "num_net", "one_hot", "init_std"})
    only_with = {"tol_W": "sparse", "temp": "sparse", "reg_W": "regularized"}
    leaves_out = frozenset(
        {"lr_tab", "batch_size", "test_batch_size", "benchmark", "train_error"}
        | {"persistent", "compile", "tol", "cosine_samples"}
    )
    nudges = ("finite", "linear")
    rule_leaves_out = {}
    measures = (
        Measure("learnt", "Learnt at the end", "%", 0),
        Measure("ever_learnt", "Learnt at some epoch", "%", 0),
        Measure("learnt_epoch", "Epoch of learning, median", "", 0),
        Measure("mse", "MSE at the end", "", 4),
        Measure("test_error", "Wrong answers", "%"),
        Measure("sparsity", "Sparsest that learnt", "%"),
        Measure("mean_sparsity", "Sparsity, mean", "%"),
        Measure("stable", "Stable", "%", 0),
        *COST,
    )

    def __init__(self, method: str, dt_W: float) -> None:  # noqa: N803  (the published name)
        self.rules, self.dt_W = (method,), dt_W
        self.defaults = {
            "dataset": "xor",
            "dt": 0.05,
            "T": 1000,
            "Kmax": 1000,
            "beta": 10.0,
            "epochs": 200,
            "batch_size": None,  # all patterns
            "test_batch_size": None,
            "N_H": [5],
            "dtype": "float64",
            "solver": "step",
        }

    def add_options(self, parser):
        group = parser.group(
            "directed EP", "names as in Tristany Farinha et al. 2020; with DEEP and asymEP"
        )
        if group is None:
            return
        group.add_argument(
            "--N_H",
            type=natural,
            nargs="+",
            metavar="N",
            help="hidden neurons; with --layered of each layer, from the inputs on; left out: 5",
        )
        group.add_argument(
            "--layered", action=Flag, help="link neighbouring layers only, both ways"
        )
        group.add_argument(
            "--num_net", type=positive_int, default=1, metavar="N", help="independent networks"
        )
        group.add_argument("--one-hot", action=Flag, help="an output per answer, not one bit")
        group.add_argument("--dt_W", type=positive, help="step of the weights; 100, asymEP 1")
        group.add_argument("--beta_0", type=finite, default=0.0, help="DEEP: weight of S_i S_j")
        group.add_argument("--beta_1", type=finite, default=1.0, help="DEEP: weight of S_i dS_j")
        group.add_argument("--sign", action=Flag, help="learn from the signs of updates")
        group.add_argument("--regularized", action=Flag, help="add an L1 penalty")
        group.add_argument("--reg_W", type=not_negative, default=0.00015, help="of the L1 penalty")
        group.add_argument("--sparse", action=Flag, help="remove weak weights at random")
        group.add_argument(
            "--tol_W", type=not_negative, default=0.01, help="below it a weight is weak [lambda]"
        )
        group.add_argument("--temp", type=positive, default=5.0, help="temperature of removal [T]")
        group.add_argument(
            "--stop",
            type=not_negative,
            default=0.0,
            help="end a phase when the sum of squared velocities is not above it; 0: never",
        )
        group.add_argument(
            "--init-std",
            type=not_negative,
            default=0.05,
            help="standard deviation of first weights",
        )
        group.add_argument(
            "--init-state",
            type=not_negative,
            default=0.1,
            help="free phases start uniform from 0 to this, anew every epoch",
        )
        group.add_argument(
            "--units",
            choices=["clip", "sigmoid"],
            default="clip",
            help="asymEP: neurons that are kept between 0 and 1, as published, or settle there "
            "smoothly",
        )

    def is_meant(self, args):
        return args.training_method in self.rules

    def defaults_of(self, args):
        return self.defaults | {"dt_W": rates_with(args, [self.dt_W])[0]}

    def reads(self, action):
        """The angle of plotcurves is followed while the networks learn."""
        if action.name == "plotcurves":
            return self.owns | {"epochs", "training_method"}
        own = self.owns if action.teaches else self.owns - self.learning
        if action.name in ("receipe", "audit"):  # of one network
            own -= {"num_net"}
        if action.name == "receipe":  # whose phases run their full length
            own -= {"stop"}
        if action.name == "audit":  # of the bare rule
            own |= {"beta_0", "beta_1"} & self.owns
        return own | {"training_method"} | ({"epochs"} if action.name == "evaluate" else set())

    def check(self, args, typed):
        if len(args.N_H) > 1 and not args.layered:
            raise UserError(
                "--N_H has several values: a complete graph takes one, --layered one a layer"
            )
        if args.solver == "relax" and args.action in MEASURING:
            raise UserError(f"--action {args.action} follows the steps of a directed network")

    def build(self, args, data):
        import torch

        from networks.directed import DEEP, AsymmetricEP
        from networks.directedParts import Plasticity
        from networks.smooth import SmoothEP

        rule = Plasticity(
            dt_W=args.dt_W,
            beta_0=args.beta_0,
            beta_1=args.beta_1,
            sign=args.sign,
            regularized=args.regularized,
            reg_W=args.reg_W,
            sparse=args.sparse,
            tol_W=args.tol_W,
            temp=args.temp,
        )
        asymmetric = SmoothEP if args.units == "sigmoid" else AsymmetricEP
        return {"DEEP": DEEP, "asymEP": asymmetric}[self.rules[0]](
            math.prod(data.shape),
            args.N_H if args.layered else args.N_H[0],
            data.n_classes,
            layered=args.layered,
            n_nets=args.num_net,
            seed=args.seed,
            dt=args.dt,
            stop=args.stop,
            plasticity=rule,
            std=args.init_std,
            highest_start=args.init_state,
            dtype=getattr(torch, args.dtype),
        )

    def folder_name(self, args):
        kind = "layered_" if args.layered else ""
        return f"{self.rules[0].lower()}_{kind}{'-'.join(map(str, args.N_H))}hidden"

    def multiplications(self, args, data):
        neurons = math.prod(data.shape) + sum(args.N_H) + data.n_classes
        return args.num_net * len(data.train) * neurons**2

    def n_weights(self, args, data):
        neurons = math.prod(data.shape) + sum(args.N_H) + data.n_classes
        return 2 * args.num_net * neurons**2  # of double length

    def n_states(self, args, data):
        if args.solver != "step":
            return 0
        moving = args.num_net * len(data.train) * (sum(args.N_H) + data.n_classes)
        return 3 * LOOKED_AT * moving  # the steps between two looks, and what a rule makes of them

    def cautions(self, args, data):
        found = []
        if args.dt_W > LARGEST_STEP and not args.sign:
            found.append(
                f"--dt_W {args.dt_W:g} moves weights so far in one epoch that neurons are held at "
                f"0 or 1 and cannot move back: the paper takes {self.dt_W:g}"
            )
        free, nudged = args.T or args.max_sweeps or 100, args.Kmax
        steps = len(data.train) * (free + nudged) + len(data.test) * free
        updates = args.num_net * (sum(args.N_H) + data.n_classes) * steps
        minutes = updates / UPDATES_PER_SECOND / 60
        if args.epochs * minutes > LONG:
            found.append(
                f"an epoch is {updates:.1e} updates of states, each step one of all patterns: "
                f"about {minutes:.1f} min on one core, {args.epochs * minutes:.0f} min for "
                f"{args.epochs} epochs; --train-samples, --T, --Kmax or --epochs make it shorter"
            )
        return found

    def starts_anywhere(self, args):
        return args.init_state > 0

    def finish(self, nets, data, schedule, history):
        from networks.directedReport import report

        plan = dataclasses.replace(schedule, epoch=schedule.epochs + 1)  # a start of its own
        arrays: dict[str, Any] = {}
        texts = []
        for method, net in nets.items():
            found, text = report(net, data.train, plan, history.get(method, {}))
            arrays |= {f"{method}_{name}": values for name, values in found.items()}
            texts.append(text)
        return arrays, "\n".join(texts)

    def describe(self, net, data, schedule):
        from networks.directedReport import predictions, report

        answers = predictions(net, data.test, schedule)
        return f"{answers}\n{report(net, data.test, schedule, {})[1]}"

    def more_curves(self, net, data, schedule, epochs):
        import numpy as np

        from networks.directedReport import follow_angle

        cosine = follow_angle(net, data.train, schedule, epochs)
        return {f"{self.rules[0]}_angle": np.degrees(np.arccos(np.clip(cosine, -1, 1)))}


class Deep(Directed):
    title = "Directed equilibrium propagation (DEEP)"
    reference = "Tristany Farinha et al. 2020"
    paper_key = "deep"
    owns = Directed.owns | {"beta_0", "beta_1"}
    leaves_out = Directed.leaves_out | {"beta_sign"}
    restless = (
        "DEEP conserves the sum of its states, so that a phase ends where its beginning decides, "
        "and it learns from the steps on the way: it is stepped"
    )
    learning = Directed.learning | {"beta_0", "beta_1"}


class Asymmetric(Directed):
    title = "Asymmetric equilibrium propagation"
    reference = "Scellier et al. 2018; figures: Tristany Farinha et al. 2020"
    paper_key = "asymEP"
    owns = Directed.owns | {"units"}
    structure = Directed.structure | {"units"}


def ten_networks(method: str, task: str, options: str, paper: tuple, differs: str = "") -> Preset:
    """Ten networks on a logic operation; what is not said are the published settings."""
    words = f"--training-method {method} --dataset {task} --num_net 10 {options}".strip()
    return Preset(words, paper, differs)


DEEP, ASYMMETRIC = Deep("DEEP", dt_W=100.0), Asymmetric("asymEP", dt_W=1.0)
DEEP.presets = {
    "deep-and": ten_networks("DEEP", "and", "", ("AND",)),
    "deep-or": ten_networks("DEEP", "or", "", ("OR",)),
    "deep-xor": ten_networks(
        "DEEP",
        "xor",
        "--N_H 20 --init-std 0.2 --init-state 0 --dt 0.1 --T 200 --Kmax 20 --beta 5 --dt_W 1 "
        "--epochs 2000",
        ("XOR",),
        FRESH_START,
    ),
    "deep-xor-published": ten_networks("DEEP", "xor", "", ("XOR", "XOR notebook")),
    "deep-xor-one-hot": ten_networks(
        "DEEP", "xor", "--one-hot --N_H 2 --beta 1 --dt_W 200", ("XOR one-hot notebook",)
    ),
    "deep-and-sparse": ten_networks("DEEP", "and", SPARSE_EASY, ("AND, sparse",), OURS),
    "deep-or-sparse": ten_networks("DEEP", "or", SPARSE_EASY, ("OR, sparse",), OURS),
    "deep-xor-sparse": ten_networks(
        "DEEP",
        "xor",
        f"{SPARSE} --init-std 0.3 --dt 0.1 --T 500 --Kmax 20 --beta 5 --dt_W 4 --reg_W 0.0004 "
        "--epochs 1000",
        ("XOR, sparse",),
        OURS,
    ),
}
ASYMMETRIC.presets = {
    "asym-and": ten_networks("asymEP", "and", "", ASYM_AND),
    "asym-or": ten_networks("asymEP", "or", "", ASYM_OR),
    "asym-xor": ten_networks("asymEP", "xor", "", (*ASYM_XOR, "asymmetric EP, XOR notebook")),
    "asym-and-tuned": ten_networks("asymEP", "and", TUNED_ASYM, ASYM_AND, FASTER),
    "asym-or-tuned": ten_networks("asymEP", "or", TUNED_ASYM, ASYM_OR, FASTER),
    "asym-xor-tuned": ten_networks("asymEP", "xor", TUNED_ASYM, ASYM_XOR, FASTER),
    "exact-and": ten_networks("asymEP", "and", EXACT, ASYM_AND, FOLLOWED),
    "exact-or": ten_networks("asymEP", "or", EXACT, ASYM_OR, FOLLOWED),
    "exact-xor": ten_networks("asymEP", "xor", EXACT, ASYM_XOR, FOLLOWED),
}
