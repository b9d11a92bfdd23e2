"""The command line: every option, its default, and what must hold between options.

`parse(argv)` returns the options; a mistake ends the program with one line and exit status 2.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

from datasets import DATASETS
from netClasses import ACTIVATIONS
from presets import PRESETS, listing
from runFolder import RunError, read_checkpoint, read_options

METHODS = {"EP": "EP", "eqprop": "EP", "BPTT": "BPTT"}
DEFAULT_RATES = {  # the papers' rates (Ernoult et al. 2019, Table 1) by system and synapse groups
    ("toy", 3): [0.05, 0.05, 0.1],
    ("energy-based", 2): [0.05, 0.1],
    ("energy-based", 3): [0.01, 0.1, 0.4],
    ("prototypical", 2): [0.04, 0.08],
    ("prototypical", 3): [0.005, 0.05, 0.2],
    ("prototypical", 4): [0.002, 0.01, 0.05, 0.2],
    ("convolutional", 3): [0.015, 0.035, 0.15],
}
FREE_WHEN_RESUMING = {"resume", "epochs", "data_dir", "device_label", "threads", "quiet"}


class Parser(argparse.ArgumentParser):
    """Errors are one line; `--a_b` and `--a-b` are the same option."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"main.py: error: {message}\n")
        sys.exit(2)

    def same_spelling(self, argv: list[str]) -> list[str]:
        known = {name.replace("_", "-"): name for name in self._option_string_actions}
        words = []
        for word in argv:
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                name = known.get(name.replace("_", "-"), name)
            words.append(name + equals + value)
        return words


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        empty = action.default is None or action.default is False
        return action.help if empty else super()._get_help_string(action)


def positive_int(text: str) -> int:
    return whole(text, 1)


def natural(text: str) -> int:
    return whole(text, 0)


def device_label(text: str) -> int:
    return whole(text, -1)


def whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return value


def real(text: str, fits, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def positive(text: str) -> float:
    return real(text, lambda v: v > 0, "a number above 0")


def not_negative(text: str) -> float:
    return real(text, lambda v: v >= 0, "a number of at least 0")


def non_zero(text: str) -> float:
    return real(
        text, lambda v: v != 0, "a number other than 0 (EP is a difference quotient in beta)"
    )


def euler_step(text: str) -> float:
    return real(text, lambda v: 0 < v <= 1, "a step above 0 and at most 1")


def add_actions(parser: Parser) -> None:
    group = parser.add_argument_group("what to do")
    group.add_argument(
        "--action",
        choices=["train", "plotcurves", "receipe", "recipe", "evaluate"],
        default="train",
        help="train; plotcurves: EP's updates beside BPTT's gradients, step by step; receipe: "
        "share of synapses where their signs agree; evaluate: test a checkpoint",
    )
    group.add_argument(
        "--preset", metavar="NAME", choices=list(PRESETS), help="options of a published experiment"
    )
    group.add_argument("--list-presets", action="store_true", help="print the presets and end")


def add_data(parser: Parser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        choices=[*DATASETS, "random"],
        help="what is learnt; left out: mnist, for the curves of the toy model random",
    )
    group.add_argument("--data-dir", type=Path, default=Path("data"), help="where the data are")
    group.add_argument(
        "--image-size", type=positive_int, metavar="PIXELS", help="side of the images of a folder"
    )
    group.add_argument("--grey", action="store_true", help="read the images of a folder as grey")


def add_optimisation(parser: Parser) -> None:
    group = parser.add_argument_group("optimisation")
    group.add_argument("--batch-size", type=positive_int, default=20, help="samples per update")
    group.add_argument("--test-batch-size", type=positive_int, default=1000, help="when testing")
    group.add_argument("--epochs", type=positive_int, default=1, help="passes over the data")
    group.add_argument(
        "--lr_tab",
        type=positive,
        nargs="+",
        metavar="RATE",
        help="learning rates of W01, W12, ..., from the output backwards; left out: the paper's",
    )
    group.add_argument(
        "--training-method", choices=list(METHODS), default="EP", help="eqprop is EP"
    )
    group.add_argument(
        "--benchmark", action="store_true", help="train by EP and by BPTT from the same weights"
    )


def add_layered_ep(parser: Parser) -> None:
    group = parser.add_argument_group("layered EP", "names as in Ernoult et al. 2019")
    group.add_argument(
        "--size_tab",
        type=positive_int,
        nargs="+",
        metavar="UNITS",
        help="layer sizes from the output backwards; left out: 512 units between the data set's "
        "ends (with --C_tab: one dense layer)",
    )
    group.add_argument("--discrete", action="store_true", help="prototypical setting")
    group.add_argument("--toymodel", action="store_true", help="the fully connected toy model")
    group.add_argument(
        "--C_tab",
        type=positive_int,
        nargs="+",
        metavar="CHANNELS",
        help="channels from the classifier backwards: a convolutional network",
    )
    group.add_argument("--Fconv", type=positive_int, default=5, help="side of the filters")
    group.add_argument("--Fpool", type=positive_int, default=2, help="side of the pooling windows")
    group.add_argument("--padding", action="store_true", help="keep the size of a map")
    group.add_argument(
        "--activation-function", choices=list(ACTIVATIONS), default="sigm", help="rho"
    )
    group.add_argument(
        "--dt",
        type=euler_step,
        help="step of the dynamics [epsilon]; left out: 0.2 energy-based, 1 prototypical",
    )
    group.add_argument("--T", type=positive_int, default=100, help="steps of the free phase [T]")
    group.add_argument("--Kmax", type=positive_int, default=25, help="of the nudged phase [K]")
    group.add_argument("--beta", type=non_zero, default=1.0, help="strength of the nudge [beta]")
    group.add_argument(
        "--no-clamp", action="store_true", help="energy-based: do not keep states in [0, 1]"
    )
    group.add_argument(
        "--exact-output",
        action="store_true",
        help="energy-based: rho' at the output layer too, which the published dynamics leaves out",
    )


def add_matching(parser: Parser) -> None:
    group = parser.add_argument_group("gradient matching", "for plotcurves and receipe")
    group.add_argument(
        "--curves", type=positive_int, default=10, help="neurons and synapses stored per layer"
    )
    group.add_argument("--save-full", action="store_true", help="store the curves of all of them")
    group.add_argument("--batches", type=positive_int, default=20, help="mini-batches of receipe")


def add_runs(parser: Parser) -> None:
    group = parser.add_argument_group("runs")
    group.add_argument("--seed", type=natural, default=0, help="of weights and order of the data")
    group.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with a stopped run")
    group.add_argument(
        "--load",
        type=Path,
        metavar="FILE",
        help="checkpoint whose network is evaluated or measured",
    )
    group.add_argument("--config", type=Path, metavar="FILE", help="re-run a hyperparameters.json")
    group.add_argument("--results-dir", type=Path, default=Path("results"), help="for the results")
    group.add_argument(
        "--device-label", type=device_label, default=-1, metavar="N", help="CUDA device, -1: CPU"
    )
    group.add_argument(
        "--threads", type=natural, default=0, metavar="N", help="of the CPU; 0: torch's choice"
    )
    group.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="reals")
    group.add_argument(
        "--compile",
        action="store_true",
        help="hand the steps to torch.compile (needs a C++ compiler)",
    )
    group.add_argument(
        "--tol",
        type=not_negative,
        default=0.0,
        help="end a phase when no unit moves more in a step; 0: never",
    )
    group.add_argument("--quiet", action="store_true", help="no progress bar")


GROUPS = (add_actions, add_data, add_optimisation, add_layered_ep, add_matching, add_runs)


def build_parser() -> Parser:
    parser = Parser(
        prog="main.py",
        description="Learning without backpropagation: train a network, get a result folder and "
        "the figures. Symbols in brackets are the papers'.",
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    for add_group in GROUPS:
        add_group(parser)
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Read a command line, with the options of a preset, a record or a checkpoint before it.

    Ends the program with status 2 and one line if an option is wrong or does not fit the others.
    """
    parser = build_parser()
    argv = parser.same_spelling(argv)
    base = recorded_words(parser, argv)
    args = parser.parse_args(base + argv)
    if args.list_presets:
        print(listing())
        sys.exit(0)
    check(parser, args, typed_options(argv))
    return args


def typed_options(argv: list[str]) -> set[str]:
    """Names of the options that a command line sets."""
    parser = build_parser()
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return set(vars(parser.parse_args(argv)))


def recorded_words(parser: Parser, argv: list[str]) -> list[str]:
    """The options that --preset, --config, --resume or --load stand for, as words to parse."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--preset", "--config", "--resume", "--load"):
        first.add_argument(name, nargs="?")
    named = vars(first.parse_known_args(argv)[0])
    chosen = {name: value for name, value in named.items() if value is not None}
    if len(chosen) > 1:
        parser.error(f"{' and '.join('--' + name for name in chosen)} exclude each other")
    if chosen.get("preset") in PRESETS:
        return parser.same_spelling(shlex.split(PRESETS[chosen["preset"]].options))
    try:
        if "config" in chosen:
            return words_of(parser, read_options(chosen["config"]))
        if "resume" in chosen:
            return words_of(parser, read_options(Path(chosen["resume"]) / "hyperparameters.json"))
        if "load" in chosen:
            return words_of(parser, read_checkpoint(chosen["load"])["options"])
    except RunError as error:
        parser.error(f"--{next(iter(chosen))}: {error}")
    return []


def words_of(parser: Parser, options: dict[str, Any]) -> list[str]:
    """Recorded options as words of a command line, so that they meet the same checks."""
    words = []
    for key, value in options.items():
        name = spelling(parser, key)
        if value is True:
            words.append(name)
        elif isinstance(value, list):
            words += [name, *map(str, value)]
        elif value is not None and value is not False:
            words.append(f"{name}={value}")
    return words


def spelling(parser: Parser, dest: str) -> str:
    """How the option that sets `args.dest` is typed."""
    names = {action.dest: action.option_strings[0] for action in parser._actions}
    if dest not in names:
        parser.error(f"the record has an option {dest!r} that this program does not know")
    return names[dest]


def system(args: argparse.Namespace) -> str:
    """Which of the systems the options choose."""
    if args.toymodel:
        return "toy"
    if args.C_tab:
        return "convolutional"
    return "prototypical" if args.discrete else "energy-based"


MEASURES = {"plotcurves", "receipe", "recipe"}  # actions that compare EP with BPTT
TRAINING = {"epochs", "lr_tab", "training_method", "benchmark", "resume"}
UNUSED_BY_ACTION = {
    "train": {"curves", "save_full", "batches"},
    "plotcurves": TRAINING | {"test_batch_size", "batches"},
    "receipe": TRAINING | {"test_batch_size", "curves", "save_full"},
    "evaluate": TRAINING | {"curves", "save_full", "batches"},
}
UNUSED_BY_ACTION["recipe"] = UNUSED_BY_ACTION["receipe"]
UNUSED = {  # options that a system does not read: an error when given
    "energy-based": {"Fconv", "Fpool", "padding"},
    "toy": {"Fconv", "Fpool", "padding", "discrete", "C_tab", "exact_output"},
    "prototypical": {"Fconv", "Fpool", "padding", "no_clamp", "exact_output"},
    "convolutional": {"no_clamp", "exact_output"},
}


def check(parser: Parser, args: argparse.Namespace, typed: set[str]) -> None:
    """End the program if options contradict each other; settle defaults that depend on others."""
    kind = system(args)
    for name in sorted(UNUSED[kind]):
        if name in typed or getattr(args, name) != parser.get_default(name):
            parser.error(f"{spelling(parser, name)} is not used by the {kind} network")
    if args.benchmark and "training_method" in typed:
        parser.error("--benchmark trains by EP and by BPTT: leave --training-method out")
    for name in sorted(typed & UNUSED_BY_ACTION[args.action]):
        parser.error(f"{spelling(parser, name)} is not used by --action {args.action}")
    if args.dataset is None:
        args.dataset = "random" if args.toymodel and args.action in MEASURES else "mnist"
    if args.dataset == "random":
        args.size_tab = args.size_tab or ([10, 50, 5] if args.toymodel else None)
        if args.size_tab is None or len(args.size_tab) < 2 or args.C_tab:
            parser.error("--dataset random is for dense networks and needs --size_tab")
    if args.dataset != "folder" and {"image_size", "grey"} & typed:
        parser.error(f"--image-size and --grey are for --dataset folder, not {args.dataset}")
    if args.resume and typed - FREE_WHEN_RESUMING:
        wrong = ", ".join(spelling(parser, name) for name in sorted(typed - FREE_WHEN_RESUMING))
        parser.error(f"--resume goes on with the recorded options: {wrong} cannot be changed")
    if args.action == "evaluate" and args.load is None:
        parser.error("--action evaluate needs --load FILE, the checkpoint to test")
    if args.action == "train" and args.load is not None:
        parser.error("--load is for evaluate, plotcurves and receipe; --resume goes on training")
    if ("BPTT" in methods_of(args) or args.action in MEASURES) and args.Kmax > args.T:
        parser.error(
            f"--Kmax {args.Kmax} is more than --T {args.T}: BPTT goes back Kmax of T steps"
        )
    if args.toymodel and args.size_tab and len(args.size_tab) != 3:
        parser.error(f"--size_tab has {len(args.size_tab)} sizes, the toy model has 3")
    if args.dt is None:
        args.dt = 0.2 if kind in ("energy-based", "toy") else 1.0


def methods_of(args: argparse.Namespace) -> list[str]:
    """The methods a run trains by."""
    return ["EP", "BPTT"] if args.benchmark else [METHODS[args.training_method]]


def fit_to_data(parser: Parser, args: argparse.Namespace, shape: tuple, n_classes: int) -> None:
    """Settle --size_tab and --lr_tab by the data set, or end the program where they do not fit."""
    n_in = math.prod(shape)
    if args.C_tab:
        if len(shape) != 3:
            parser.error(f"--C_tab needs images, {args.dataset} has none")
        if args.C_tab[-1] != shape[0]:
            parser.error(
                f"--C_tab ends in {args.C_tab[-1]}, {args.dataset} has {shape[0]} channel(s)"
            )
        args.size_tab = args.size_tab or [n_classes]
        n_rates = len(args.size_tab) + len(args.C_tab) - 1
    else:
        args.size_tab = args.size_tab or [n_classes, 512, n_in]
        if args.size_tab[-1] != n_in or len(args.size_tab) < 2:
            parser.error(
                f"--size_tab {' '.join(map(str, args.size_tab))} must end in {n_in}, "
                f"the inputs of {args.dataset}"
            )
        n_rates = 3 if args.toymodel else len(args.size_tab) - 1
    if args.size_tab[0] != n_classes:
        parser.error(
            f"--size_tab starts with {args.size_tab[0]}, {args.dataset} has {n_classes} classes"
        )
    if args.action != "train":
        return
    args.lr_tab = args.lr_tab or DEFAULT_RATES.get((system(args), n_rates))
    if args.lr_tab is None:
        parser.error(f"--lr_tab must be given: this network has {n_rates} synapse groups")
    if len(args.lr_tab) != n_rates:
        parser.error(
            f"--lr_tab has {len(args.lr_tab)} value(s), this network has {n_rates} synapse groups, "
            "listed from the output backwards"
        )


NOT_RECORDED = {"config", "resume", "preset", "list_presets", "quiet"}


def recorded_options(args: argparse.Namespace) -> dict[str, Any]:
    """Every option that shapes the run, as plain values for the record."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in NOT_RECORDED
    }
