"""The command line: what must hold between options, and the defaults that depend on others.

`parse(argv)` returns the options; a mistake ends the program with one line and exit status 2.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from errors import RunError
from networks.brainprop import ARCHITECTURES, BATCH_SIZE
from networks.smallWorld import MLFF, mean_glorot_bound
from options import METHODS, Parser, build_parser, option_name
from presets import PRESETS, listing
from runFolder import PLAN, read_checkpoint, read_options

DIRECTED = {"DEEP", "asymEP"}
FEEDFORWARD = {"BrainProp", "EBP"}
PUBLISHED_DATASETS = {  # of BrainProp's command line: <dataset> <architecture> <algorithm>
    "MNIST": "mnist",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "TinyImageNet": "tiny-imagenet",
}
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
FREE_WHEN_RESUMING |= {"tensorboard"}
OF_MANY_RUNS = {"jobs", "backend", "scheduler"}
FREE_WHEN_RESUMING |= OF_MANY_RUNS | {"dry_run"}


def parse(argv: list[str]) -> argparse.Namespace:
    """Read a command line, with the options of a preset, a record or a checkpoint before it.

    Ends the program with status 2 and one line if an option is wrong or does not fit the others.
    """
    parser = build_parser()
    argv = parser.same_spelling(published_words(parser, argv))
    base = recorded_words(parser, argv)
    args = parser.parse_args(base + argv)
    if args.list_presets:
        print(listing())
        sys.exit(0)
    if args.print_completion:
        print(completion(parser, args.print_completion))
        sys.exit(0)
    check(parser, args, typed_options(argv))
    return args


def completion(parser: Parser, shell: str) -> str:
    """What a shell must read to complete the options and their values."""
    try:
        import shtab
    except ImportError:
        parser.error("--print-completion needs the package shtab: pip install shtab")
    for action in parser._actions:
        if action.type is Path:
            action.complete = shtab.FILE
    return shtab.complete(parser, shell)


def published_words(parser: Parser, argv: list[str]) -> list[str]:
    """BrainProp's published command line, <dataset> <architecture> <algorithm> [-s] [-l FILE],

    as options; any other is left as it is. -s asks for files that are always written here.
    """
    if not argv or argv[0] not in PUBLISHED_DATASETS:
        return argv
    first = argparse.ArgumentParser(prog="main.py", add_help=False, allow_abbrev=False)
    first.error = parser.error
    first.add_argument("dataset", choices=PUBLISHED_DATASETS)
    first.add_argument("architecture", choices=ARCHITECTURES)
    first.add_argument("algorithm", choices=sorted(FEEDFORWARD))
    first.add_argument("-s", action="store_true")
    first.add_argument("-l", metavar="FILE")
    named, rest = first.parse_known_args(argv)
    if named.l:
        return ["--action", "evaluate", "--load", named.l, *rest]
    words = ["--dataset", PUBLISHED_DATASETS[named.dataset], "--architecture", named.architecture]
    return [*words, "--training-method", named.algorithm, *rest]


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
        if "resume" in chosen and not (Path(chosen["resume"]) / PLAN).exists():
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
        elif value is False and f"--no-{key}" in parser._option_string_actions:
            words.append(f"--no-{key}")
        elif isinstance(value, list):
            words += [name, *map(str, value)]
        elif value is not None and value is not False:
            words.append(f"{name}={value}")
    return words


def spelling(parser: Parser, dest: str) -> str:
    """How the option that sets `args.dest` is typed."""
    names = {a.dest: a.option_strings[0] for a in parser._actions if a.option_strings}
    if dest not in names:
        parser.error(f"the record has an option {dest!r} that this program does not know")
    return names[dest]


def system(args: argparse.Namespace) -> str:
    """Which of the systems the options choose."""
    if METHODS[args.training_method] in DIRECTED:
        return "directed"
    if METHODS[args.training_method] in FEEDFORWARD or args.architecture:
        return "feedforward"
    if args.network_type:
        return "small-world"
    if args.toymodel:
        return "toy"
    if args.C_tab:
        return "convolutional"
    return "prototypical" if args.discrete else "energy-based"


MEASURES = {"plotcurves", "receipe", "recipe"}  # actions that compare EP with BPTT
TRAINING = {"epochs", "lr_tab", "training_method", "benchmark", "resume", "train_error"}
TRAINING |= {"beta_sign", "tensorboard"}
FOLLOWED = {"epochs", "training_method"}  # directed EP is trained while its angle is measured
UNUSED_BY_ACTION = {
    "train": {"curves", "save_full", "batches"},
    "plotcurves": TRAINING | {"test_batch_size", "batches", "persistent"},
    "receipe": TRAINING | {"test_batch_size", "curves", "save_full", "persistent"},
    "evaluate": TRAINING | {"curves", "save_full", "batches"},
}
UNUSED_BY_ACTION["recipe"] = UNUSED_BY_ACTION["receipe"]
CONVOLUTION = {"C_tab", "Fconv", "Fpool", "padding"}
SKIPPING = {"network_type", "bypass_p", "bypass_mag"}
GRAPH = {"N_H", "layered", "num_net", "one_hot", "dt_W", "beta_0", "beta_1", "sign", "regularized"}
GRAPH |= {"reg_W", "sparse", "tol_W", "temp", "stop", "init_std", "init_state"}
RATED = {"architecture", "epsilon", "validation", "patience", "halve_every"}
LAYERED = {"discrete", "toymodel", "activation_function", "no_clamp", "exact_output"}
UNUSED = {  # options that a system does not read: an error when given
    "energy-based": CONVOLUTION | SKIPPING | GRAPH | RATED,
    "toy": CONVOLUTION | SKIPPING | GRAPH | RATED | {"discrete", "exact_output"},
    "prototypical": CONVOLUTION | SKIPPING | GRAPH | RATED | {"no_clamp", "exact_output"},
    "convolutional": SKIPPING | GRAPH | RATED | {"no_clamp", "exact_output"},
    "small-world": CONVOLUTION | GRAPH | RATED | LAYERED,
    "feedforward": CONVOLUTION
    | SKIPPING
    | GRAPH
    | LAYERED
    | {"size_tab", "T", "Kmax", "beta", "dt", "beta_sign", "persistent", "tol", "compile"},
    "directed": CONVOLUTION
    | SKIPPING
    | RATED
    | LAYERED
    | {"size_tab", "lr_tab", "batch_size", "test_batch_size", "benchmark", "beta_sign"}
    | {"persistent", "compile", "tol", "train_error"},
}
DEFAULTS = {  # of options that depend on the system; "" is for all the others
    "dataset": {"directed": "xor", "": "mnist"},
    "dt": {"energy-based": 0.2, "toy": 0.2, "small-world": 0.5, "directed": 0.05, "": 1.0},
    "T": {"directed": 1000, "": 100},
    "Kmax": {"directed": 1000, "": 25},
    "beta": {"directed": 10.0, "": 1.0},
    "beta_sign": {"small-world": "random", "": "fixed"},
    "persistent": {"small-world": True, "": False},
    "epochs": {"directed": 200, "feedforward": 500, "": 1},
    "architecture": {"feedforward": "dense"},
    "validation": {"feedforward": "0.1"},
    "patience": {"feedforward": 45},
    "halve_every": {"feedforward": 100},
    "lr_tab": {"feedforward": [0.1]},
    "batch_size": {"feedforward": None, "": 20},
    "test_batch_size": {"feedforward": 128, "": 1000},
    "N_H": {"directed": [5]},
    "dtype": {"directed": "float64", "": "float32"},
}


def check(parser: Parser, args: argparse.Namespace, typed: set[str]) -> None:
    """End the program if options contradict each other; settle defaults that depend on others."""
    if args.action == "report":
        check_report(parser, typed)
        return
    if args.folders:
        parser.error(f"unrecognized arguments: {' '.join(map(str, args.folders))}")
    kind = system(args)
    for name in sorted(UNUSED[kind]):
        if name in typed or getattr(args, name) != parser.get_default(name):
            parser.error(f"{spelling(parser, name)} is not used by the {kind} network")
    if args.benchmark and "training_method" in typed:
        parser.error("--benchmark trains by two methods: leave --training-method out")
    if args.architecture and not args.benchmark and args.training_method not in FEEDFORWARD:
        parser.error("--architecture nets learn by --training-method BrainProp or EBP")
    if kind == "feedforward" and args.action in MEASURES:
        parser.error(f"--action {args.action} is for equilibrium networks, not for {kind} ones")
    unused = UNUSED_BY_ACTION[args.action] - (FOLLOWED if kind == "directed" else set())
    for name in sorted(typed & unused):
        parser.error(f"{spelling(parser, name)} is not used by --action {args.action}")
    settle_defaults(args, kind)
    if args.dataset == "random":
        args.size_tab = args.size_tab or ([10, 50, 5] if args.toymodel else None)
        if args.size_tab is None or len(args.size_tab) < 2 or args.C_tab:
            parser.error("--dataset random is for dense networks and needs --size_tab")
    if args.dataset != "folder" and {"image_size", "grey"} & typed:
        parser.error(f"--image-size and --grey are for --dataset folder, not {args.dataset}")
    if args.resume and typed - FREE_WHEN_RESUMING:
        wrong = ", ".join(spelling(parser, name) for name in sorted(typed - FREE_WHEN_RESUMING))
        parser.error(f"--resume goes on with the recorded options: {wrong} cannot be changed")
    check_sweeps(parser, args.sweep or [])
    check_many(parser, args, typed)
    swept = {option_name(sweep[0]) for sweep in args.sweep or []}
    if args.action == "evaluate" and args.load is None and "load" not in swept:
        parser.error("--action evaluate needs --load FILE, the checkpoint to test")
    if args.action == "train" and args.load is not None:
        parser.error("--load is for evaluate, plotcurves and receipe; --resume goes on training")
    if ("BPTT" in methods_of(args) or args.action in MEASURES) and args.Kmax > args.T:
        parser.error(
            f"--Kmax {args.Kmax} is more than --T {args.T}: BPTT goes back Kmax of T steps"
        )
    if args.toymodel and args.size_tab and len(args.size_tab) != 3:
        parser.error(f"--size_tab has {len(args.size_tab)} sizes, the toy model has 3")
    if args.network_type == MLFF and {"bypass_p", "bypass_mag"} & typed:
        parser.error("--bypass-p and --bypass-mag are not used by --network-type MLFF")
    if kind == "directed" and len(args.N_H) > 1 and not args.layered:
        parser.error("--N_H has several values: a complete graph takes one, --layered one a layer")


def check_report(parser: Parser, typed: set[str]) -> None:
    """A report is of folders; the other options are for runs."""
    for name in sorted(typed - {"action", "folders", "results_dir", "quiet"}):
        parser.error(f"{spelling(parser, name)} is not used by --action report")


def check_sweeps(parser: Parser, sweeps: list[list[str]]) -> None:
    """Every sweep names an option that a run has, and values; the runs check what they are."""
    known = {option_name(text): a.dest for text, a in parser._option_string_actions.items()}
    names = [known.get(option_name(option), "help") for option, *_ in sweeps]
    for name, (option, *values) in zip(names, sweeps, strict=True):
        if name in NOT_RECORDED | {"seed", "help", "results_dir"}:
            parser.error(f"--sweep {option}: there is no such option to sweep")
        if not values:
            parser.error(f"--sweep {option} needs the values to run with")
        if names.count(name) > 1:
            parser.error(f"--sweep {option} is given twice: give all its values at once")


def check_many(parser: Parser, args: argparse.Namespace, typed: set[str]) -> None:
    """How many runs are done at a time, and where, fits together."""
    asked = sorted(typed & OF_MANY_RUNS)
    if asked and not typed & {"trials", "sweep"} and not is_many(args):
        parser.error(f"--{asked[0]} is for many runs: add --trials N or --sweep OPTION V1 V2 ...")
    if args.backend == "dask" and args.scheduler is None:
        parser.error("--backend dask needs --scheduler ADDRESS, as `dask scheduler` prints it")
    if args.backend != "dask" and args.scheduler is not None:
        parser.error("--scheduler is for --backend dask")
    if args.backend == "dask" and "jobs" in typed:
        parser.error("--jobs is for --backend loky: a Dask cluster does a run per worker at a time")


def is_many(args: argparse.Namespace) -> bool:
    """The command stands for runs in a common folder."""
    return bool(args.sweep or args.trials > 1 or (args.resume and (args.resume / PLAN).exists()))


def settle_defaults(args: argparse.Namespace, kind: str) -> None:
    """Fill in what was left out and depends on the system."""
    if args.dataset is None and args.toymodel and args.action in MEASURES:
        args.dataset = "random"
    for name, values in DEFAULTS.items():
        if getattr(args, name) is None and name not in UNUSED[kind]:
            setattr(args, name, values.get(kind, values.get("")))
    if kind == "small-world" and args.network_type != MLFF and args.bypass_p is None:
        args.bypass_p = 0.1
    if kind == "feedforward" and args.batch_size is None:
        args.batch_size = BATCH_SIZE[args.architecture]
    if kind == "directed" and args.dt_W is None:
        args.dt_W = 100.0 if METHODS[args.training_method] == "DEEP" else 1.0


def methods_of(args: argparse.Namespace) -> list[str]:
    """The methods a run trains by."""
    if args.benchmark:
        return ["BrainProp", "EBP"] if args.architecture else ["EP", "BPTT"]
    return [METHODS[args.training_method]]


def fit_to_data(parser: Parser, args: argparse.Namespace, shape: tuple, n_classes: int) -> None:
    """Settle --size_tab and --lr_tab by the data set, or end the program where they do not fit."""
    if system(args) == "directed":  # the graph takes its ends from the data set
        return
    if system(args) == "feedforward":  # as does such a net
        if len(args.lr_tab) != 1:
            parser.error(f"--lr_tab has {len(args.lr_tab)} values, these nets learn with one rate")
        return
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
            f"--size_tab starts with {args.size_tab[0]}, {args.dataset} has {n_classes} outputs"
        )
    if args.network_type and args.network_type != MLFF and args.bypass_mag is None:
        args.bypass_mag = mean_glorot_bound(args.size_tab)
    if args.action != "train":
        return
    default = [0.02] if args.network_type else DEFAULT_RATES.get((system(args), n_rates))
    args.lr_tab = args.lr_tab or default
    if args.lr_tab is None:
        parser.error(f"--lr_tab must be given: this network has {n_rates} synapse groups")
    if len(args.lr_tab) not in (1, n_rates):
        parser.error(
            f"--lr_tab has {len(args.lr_tab)} values, this network has {n_rates} synapse groups: "
            f"give one rate for all, or {n_rates} from the output backwards"
        )


NOT_RECORDED = {
    "config",
    "resume",
    "preset",
    "list_presets",
    "print_completion",
    "quiet",
    "sweep",
    "trials",
    "jobs",
    "backend",
    "scheduler",
    "dry_run",
    "folders",
    "n_out",
}


def recorded_options(args: argparse.Namespace) -> dict[str, Any]:
    """Every option that shapes the run, as plain values for the record."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in NOT_RECORDED
    }
