"""Layered equilibrium propagation, Ernoult et al. 2019: four kinds of network, one table."""

from __future__ import annotations

import argparse
import itertools
import math
from typing import Any

from errors import UserError
from options.parser import Flag
from options.values import natural, part, positive_int
from systems.base import MEASURING, OPTIMISING, PHASES, Preset, System, rates_with

WITH_BP = System.rules + ("BP",)
BP_LEAVES_OUT = {"BP": PHASES | {"feedback", "asymmetric", "cosine_samples", "state_noise"}}
ACTIVATIONS = ("sigm", "tanh", "hardsigm", "hardsigm2")  # of networks.activations
NO_CLAMP = (
    "BPTT by itself and --no-clamp: clamped to [0, 1], an output unit that starts below 0 passes "
    "BPTT no gradient and may never learn its class; EP, whose nudge lifts it, learns best clamped"
)
RELAXED = "free phases are relaxed to rest instead of stepped"
EB_1H = "--size_tab 10 512 784 --epochs 30 {phases} --beta 0.5 --dt 0.2 "
EB_2H = "--size_tab 10 512 512 784 --lr_tab 0.01 0.1 0.4 --epochs 50 {phases} --beta 0.5 --dt 0.2 "
P_1H = "--discrete --size_tab 10 512 784 --lr_tab 0.04 0.08 --epochs 30 {phases} --beta 0.1 "
P_2H = (
    "--discrete --size_tab 10 512 512 784 --lr_tab 0.005 0.05 0.2 --epochs 50 {phases} --beta 0.5 "
)
P_3H = (
    "--discrete --size_tab 10 512 512 512 784 --lr_tab 0.002 0.01 0.05 0.2 --epochs 100 {phases} "
    "--beta 0.5 "
)
P_CONV = (
    "--activation-function hardsigm --C_tab 64 32 1 --size_tab 10 --lr_tab 0.015 0.035 0.15 "
    "--epochs 40 {phases} --beta 0.4 "
)


def rows(name: str, words: str, T: int, Kmax: int, rest: str = "") -> dict[str, Preset]:
    """A row of Table 1 twice: relaxed, with what that needs besides, and word for word."""
    fast, published = f"--solver relax --Kmax {Kmax}{rest}", f"--T {T} --Kmax {Kmax}"
    return {
        name: Preset(words.format(phases=fast) + "--benchmark", (name,), RELAXED),
        f"{name}-published": Preset(words.format(phases=published) + "--benchmark", (name,)),
    }


def add_convolution(group: argparse._ArgumentGroup) -> None:
    """The options of what a convolution sees and makes."""
    group.add_argument("--Fconv", type=positive_int, default=5, help="side of the filters")
    group.add_argument("--Fpool", type=positive_int, default=2, help="side of the pooling windows")
    group.add_argument("--padding", action=Flag, help="keep the size of a map")
    group.add_argument(
        "--pads",
        type=natural,
        nargs="+",
        metavar="PIXELS",
        help="of zeros around what a convolution sees, instead of --padding; of this and the "
        "next two one for all convolutions, or one each from the classifier backwards",
    )
    group.add_argument(
        "--pool",
        choices=("max", "average", "none"),
        nargs="+",
        default=["max"],
        help="what becomes of the values in a window",
    )
    group.add_argument(
        "--stride",
        type=positive_int,
        nargs="+",
        default=[1],
        metavar="PIXELS",
        help="between two places of a filter",
    )


class Layered(System):
    """A kind of network of the paper; all of them share a group of options."""

    title = "Layered equilibrium propagation"
    reference = "Ernoult et al. 2019"
    paper_key = "ernoult"
    selectors = frozenset({"discrete", "toymodel", "C_tab"})
    learning = OPTIMISING
    structure = frozenset({"size_tab"})
    folder = ""  # first part of the folder's name
    rates: dict[int, list[float]] = {}  # the paper's (Table 1), by the number of synapse groups

    def add_options(self, parser):
        group = parser.group("layered EP", "names as in Ernoult et al. 2019")
        if group is None:
            return
        group.add_argument(
            "--size_tab",
            type=positive_int,
            nargs="+",
            metavar="UNITS",
            help="layer sizes from the output backwards; left out: 512 units between the data "
            "set's ends (with --C_tab: one dense layer); of --architecture dense left out: 1500, "
            "1000 and 500 units, as published",
        )
        group.add_argument("--discrete", action=Flag, help="prototypical setting")
        group.add_argument("--toymodel", action=Flag, help="the fully connected toy model")
        group.add_argument(
            "--C_tab",
            type=positive_int,
            nargs="+",
            metavar="CHANNELS",
            help="channels from the classifier backwards: a convolutional network",
        )
        add_convolution(group)
        group.add_argument(
            "--loss",
            choices=("squared", "cross-entropy"),
            default="squared",
            help="cross-entropy: of a softmax that reads the last hidden layer and does not act "
            "back on it; for classes",
        )
        group.add_argument(
            "--feedback",
            type=part,
            default=1.0,
            metavar="FACTOR",
            help="energy-based and prototypical: of what a layer receives from the one nearer to "
            "the output; 0.001 to 0.1 let a free phase rest after a few sweeps",
        )
        group.add_argument(
            "--asymmetric",
            action=Flag,
            help="energy-based, prototypical and convolutional: weights of their own from a layer "
            "to the next one away from the output, instead of the forward ones transposed",
        )
        group.add_argument(
            "--activation-function",
            choices=ACTIVATIONS,
            default="sigm",
            help="rho; hardsigm2 rises half as fast; with --network-type states are clipped to "
            "[0, 1] instead",
        )
        group.add_argument(
            "--no-clamp",
            action=Flag,
            opposite="--clamp",
            help="energy-based: do not keep states in [0, 1]",
        )
        group.add_argument(
            "--exact-output",
            action=Flag,
            help="energy-based: rho' at the output layer too, which the published dynamics leaves "
            "out",
        )

    def settle(self, args, data):
        check_loss(args, data)
        n_in = math.prod(data.shape)
        sizes = args.size_tab or [data.n_classes, 512, n_in]
        if sizes[-1] != n_in or len(sizes) < 2:
            turned = sizes[::-1] if (sizes[0], sizes[-1]) == (n_in, data.n_classes) else []
            about = f": from the output backwards it is {' '.join(map(str, turned))}" * bool(turned)
            raise UserError(
                f"--size_tab {' '.join(map(str, sizes))} must end in {n_in}, "
                f"the inputs of {args.dataset}{about}"
            )
        if args.loss == "cross-entropy" and len(sizes) < 3:
            raise UserError(
                f"--size_tab {' '.join(map(str, sizes))} has no hidden layer, which --loss "
                "cross-entropy reads"
            )
        return self.with_rates(args, data, sizes, len(sizes) - 1)

    def with_rates(
        self, args: argparse.Namespace, data: Any, sizes: list[int], n_rates: int
    ) -> dict[str, Any]:
        """The sizes, checked, and for training the rates of so many synapse groups."""
        if sizes[0] != data.n_classes:
            raise UserError(
                f"--size_tab starts with {sizes[0]}, {args.dataset} has {data.n_classes} outputs"
            )
        if args.action != "train":
            return {"size_tab": sizes}
        known = self.rates_for(n_rates)
        if known is None and args.optimizer in ("adam", "adamw"):
            known = [1.0]  # which have one default for every network
        rates = args.lr_tab or (known and rates_with(args, known))
        if rates is None:
            raise UserError(f"--lr_tab must be given: this network has {n_rates} synapse groups")
        if len(rates) not in (1, n_rates):
            raise UserError(
                f"--lr_tab has {len(rates)} values, this network has {n_rates} synapse groups: "
                f"give one rate for all, or {n_rates} from the output backwards"
            )
        return {"size_tab": sizes, "lr_tab": rates}

    def rates_for(self, n_rates: int) -> list[float] | None:
        return self.rates.get(n_rates)

    def folder_name(self, args):
        return f"{self.folder}_{len(args.size_tab) - 2}hidden"

    def n_weights(self, args, data):
        return sum(n * m for n, m in itertools.pairwise(args.size_tab))

    def multiplications(self, args, data):
        sizes = args.size_tab[:-1]
        return args.batch_size * sum(n * m for n, m in itertools.pairwise(sizes))


def check_loss(args: argparse.Namespace, data: Any) -> None:
    """Raise UserError where the answers are not classes, which cross-entropy is for."""
    if args.loss == "cross-entropy" and data.train.task != "classes":
        kind = "is regression" if data.train.task == "values" else "has answers of single bits"
        raise UserError(
            f"--loss cross-entropy chooses among classes, --dataset {args.dataset} {kind}: "
            "leave it out"
        )


def check_bounds(args: argparse.Namespace) -> None:
    """Raise UserError where states could leave the part of rho that is solved for, or data

    their part.
    """
    if args.normalise and args.activation_function.startswith("hardsigm"):
        raise UserError(
            f"--normalise: this network sees rho of its data, and {args.activation_function} cuts "
            "off what is below 0: use --discrete, or another --activation-function"
        )
    if args.no_clamp and args.activation_function == "hardsigm2":
        raise UserError(
            "--activation-function hardsigm2 is for states that are kept in [0, 1]: leave out "
            "--no-clamp"
        )


def shared(args: argparse.Namespace) -> dict[str, Any]:
    """What every kind of network is built with."""
    return {"activation": args.activation_function, "dt": args.dt, "seed": args.seed}


class EnergyBased(Layered):
    name = "energy-based"
    folder = "ep_cont"
    owns = frozenset({"size_tab", "activation_function", "no_clamp", "exact_output", "loss"})
    owns |= OPTIMISING | {"feedback", "asymmetric"}
    structure = frozenset({"size_tab", "loss", "feedback", "asymmetric"})
    defaults = {"dt": 0.2}
    rates = {2: [0.05, 0.1], 3: [0.01, 0.1, 0.4]}

    def is_meant(self, args):
        return True  # of what is left

    def check(self, args, typed):
        check_bounds(args)
        if args.exact_output and args.loss == "cross-entropy":
            raise UserError(
                "--exact-output is not used by --loss cross-entropy, whose output is no layer"
            )

    def build(self, args, data):
        from netClasses import AsymmetricEPcont, EPcont

        kind = AsymmetricEPcont if args.asymmetric else EPcont
        return kind(
            args.size_tab,
            clamp=not args.no_clamp,
            exact_output=args.exact_output,
            loss=args.loss,
            feedback=args.feedback,
            **shared(args),
        )


class Toy(Layered):
    name = "toy"
    folder = "ep_toy"
    owns = frozenset({"size_tab", "toymodel", "activation_function", "no_clamp"}) | OPTIMISING
    defaults = {"dt": 0.2}
    rates = {3: [0.05, 0.05, 0.1]}

    def is_meant(self, args):
        return args.toymodel

    def defaults_of(self, args):
        measured = args.action in MEASURING or args.action == "audit"
        curves = {"dataset": "random"} if measured else {}
        chosen = args.dataset or curves.get("dataset")
        return self.defaults | curves | ({"size_tab": [10, 50, 5]} if chosen == "random" else {})

    def check(self, args, typed):
        check_bounds(args)
        if args.size_tab and len(args.size_tab) != 3:
            raise UserError(f"--size_tab has {len(args.size_tab)} sizes, the toy model has 3")

    def with_rates(self, args, data, sizes, n_rates):
        return super().with_rates(args, data, sizes, 3)

    def build(self, args, data):
        from netClasses import toyEPcont

        return toyEPcont(args.size_tab, clamp=not args.no_clamp, **shared(args))


class Prototypical(Layered):
    name = "prototypical"
    rules = WITH_BP
    rule_leaves_out = System.rule_leaves_out | BP_LEAVES_OUT
    folder = "ep_disc"
    free_output = True
    owns = frozenset({"size_tab", "discrete", "activation_function", "loss"}) | OPTIMISING
    owns |= {"feedback", "asymmetric"}
    structure = frozenset({"size_tab", "loss", "feedback", "asymmetric"})
    rates = {2: [0.04, 0.08], 3: [0.005, 0.05, 0.2], 4: [0.002, 0.01, 0.05, 0.2]}

    def is_meant(self, args):
        return args.discrete

    def build(self, args, data):
        from netClasses import AsymmetricEPdisc, EPdisc

        kind = AsymmetricEPdisc if args.asymmetric else EPdisc
        return kind(args.size_tab, loss=args.loss, feedback=args.feedback, **shared(args))


class Convolutional(Layered):
    name = "convolutional"
    rules = WITH_BP
    rule_leaves_out = System.rule_leaves_out | BP_LEAVES_OUT
    free_output = True
    owns = frozenset({"size_tab", "C_tab", "Fconv", "Fpool", "padding", "activation_function"})
    owns |= {"discrete"} | OPTIMISING  # discrete: which it is anyway
    owns |= {"pool", "stride", "pads", "loss", "asymmetric"}
    structure = frozenset({"size_tab", "C_tab", "Fconv", "Fpool", "padding"})
    structure |= {"pool", "stride", "pads", "loss", "asymmetric"}
    rates = {3: [0.015, 0.035, 0.15]}

    def is_meant(self, args):
        return args.C_tab is not None

    def check(self, args, typed):
        if args.pads and args.padding:
            raise UserError("--padding and --pads exclude each other: both say how much")
        if "Fpool" in typed and set(args.pool) == {"none"}:
            raise UserError("--Fpool is not used by --pool none")

    def settle(self, args, data):
        check_loss(args, data)
        if len(data.shape) != 3:
            raise UserError(f"--C_tab needs images, {args.dataset} has none")
        if args.C_tab[-1] != data.shape[0]:
            raise UserError(
                f"--C_tab ends in {args.C_tab[-1]}, {args.dataset} has {data.shape[0]} channel(s)"
            )
        sizes = args.size_tab or [data.n_classes]
        return self.with_rates(args, data, sizes, len(sizes) + len(args.C_tab) - 1)

    def build(self, args, data):
        from netClasses import AsymmetricConvEP, convEP

        kind = AsymmetricConvEP if args.asymmetric else convEP
        return kind(
            args.size_tab,
            args.C_tab,
            data.shape[1:],
            Fconv=args.Fconv,
            Fpool=args.Fpool,
            padding=args.padding,
            loss=args.loss,
            pool=args.pool,
            stride=args.stride,
            pads=args.pads or (),
            **shared(args),
        )

    def folder_name(self, args):
        return f"ep_conv_{len(args.C_tab) - 1}conv_{len(args.size_tab)}fc"

    def n_weights(self, args, data):
        kernels = sum(n * m for n, m in itertools.pairwise(args.C_tab)) * args.Fconv**2
        return kernels + super().n_weights(args, data) + args.size_tab[-1] * args.C_tab[0]

    def multiplications(self, args, data):
        return math.inf


TOY, CONVOLUTIONAL = Toy(), Convolutional()
PROTOTYPICAL, ENERGY_BASED = Prototypical(), EnergyBased()

EB_1H_FAST = EB_1H.format(phases="--solver relax --Kmax 12")
EB_2H_FAST = EB_2H.format(phases="--solver relax --Kmax 40")
ENERGY_BASED.presets = {
    "EB-1h": Preset(
        EB_1H_FAST + "--lr_tab 0.1 0.4 --training-method EP",
        ("EB-1h",),
        f"{RELAXED}; rates 0.1 0.4 for 0.05 0.1, with which 30 epochs are too few to learn the "
        "training set; EP only, BPTT is EB-1h-BPTT",
    ),
    "EB-1h-BPTT": Preset(
        EB_1H_FAST + "--lr_tab 0.05 0.1 --training-method BPTT --no-clamp",
        ("EB-1h",),
        f"{RELAXED}; {NO_CLAMP}",
    ),
    "EB-1h-published": Preset(
        EB_1H.format(phases="--T 100 --Kmax 12") + "--lr_tab 0.05 0.1 --benchmark", ("EB-1h",)
    ),
    "EB-2h": Preset(
        EB_2H_FAST + "--training-method EP",
        ("EB-2h",),
        f"{RELAXED}; EP only, as published; BPTT is EB-2h-BPTT",
    ),
    "EB-2h-BPTT": Preset(
        EB_2H_FAST + "--training-method BPTT --no-clamp",
        ("EB-2h",),
        f"{RELAXED}; {NO_CLAMP}",
    ),
    "EB-2h-published": Preset(EB_2H.format(phases="--T 400 --Kmax 40") + "--benchmark", ("EB-2h",)),
}
FAST = (
    "--discrete --size_tab 10 {units} 784 --beta 0.3 --beta-sign both --solver relax "
    "--batch-size 250 --optimizer adamw --weight-decay {decay} --schedule cosine --lr_tab {rate} "
    "--epochs {epochs}"
)
PROTOTYPICAL.presets = (
    rows("P-1h", P_1H, 40, 15)
    | rows("P-2h", P_2H, 100, 20, " --tol 1e-4")
    | rows("P-3h", P_3H, 180, 20)
    | {
        "fast-mnist": Preset(
            FAST.format(units=512, decay=0.1, rate=0.004, epochs=5),
            (),
            "98 % of MNIST's test images in half a minute; ours",
        ),
        "fast-mnist-wide": Preset(
            FAST.format(units=1024, decay=0.1, rate=0.003, epochs=16),
            (),
            "98.4 % of them in three minutes; ours",
        ),
    }
)
CONVOLUTIONAL.presets = rows("P-conv", P_CONV, 200, 10, " --beta-sign both") | {
    "cifar10-laborieux": Preset(
        "--dataset cifar10 --C_tab 512 512 256 128 3 --size_tab 10 --Fconv 3 --pads 0 1 1 1 "
        "--pool max --activation-function hardsigm2 --loss cross-entropy --optimizer momentum "
        "--momentum 0.9 --weight-decay 0.0003 --schedule cosine --lr_tab 0.05 0.08 0.1 0.15 0.25 "
        "--epochs 120 --batch-size 128 --beta 1 --beta-sign both --T 250 --Kmax 25 "
        "--augment crop-flip --normalise",
        ("CIFAR-10, symmetric nudging",),
        "Laborieux et al. 2021; their program divides the inputs by three times their standard "
        "deviation, --normalise by once",
    ),
    "cifar10-small": Preset(
        "--dataset cifar10 --C_tab 64 32 16 3 --size_tab 10 --Fconv 3 --padding --pool max "
        "--activation-function hardsigm --loss cross-entropy --optimizer adam --epochs 10 "
        "--batch-size 32 --beta 0.5 --beta-sign both --solver relax",
        (),
        "a network in the manner of cifar10-laborieux that trains on two cores; ours",
    ),
}
