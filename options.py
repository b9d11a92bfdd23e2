"""The options that systems share, the types of all options, and the parser that joins them.

A system adds a group of its own (systems/). Defaults that depend on the system are settled in
commandLine.py; here they are only named. Nothing here needs torch.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from manual.help import USAGE, Help, width
from manual.spelling import hint
from readers.names import NAMES

SHARED: dict[str, Any] = {  # defaults of shared options, where a system has no other
    "dataset": "mnist",
    "batch_size": 20,
    "test_batch_size": 1000,
    "epochs": 1,
    "dt": 1.0,
    "T": 100,
    "Kmax": 25,
    "beta": 1.0,
    "beta_sign": "fixed",
    "nudge": "finite",
    "persistent": False,
    "dtype": "float32",
}
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw")
ADAM_RATE = 0.001
ALIASES = {"eqprop": "EP"}  # of training methods
MANY_THREADS = 1024  # torch ends the program where the system cannot start as many as it is told
SMALLEST, LARGEST = 1.2e-38, 3.4e38  # of 32-bit numbers
ENDLESS = 100_000  # epochs of a training that --minutes alone ends
NEGATIVE = re.compile(r"-\.?\d|-(inf|infinity|nan)$", re.IGNORECASE)  # no option begins so
MANY_CHOICES = 100  # characters of names, above which they are not all listed


class Parser(argparse.ArgumentParser):
    """Errors are one line; `--a_b` and `--a-b` are the same option; -1e-3 is a number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._negative_number_matcher = NEGATIVE

    source = ""  # the file whose options are being read, if one is

    def error(self, message: str) -> NoReturn:
        where, self.source = f"{self.source}: " if self.source else "", ""
        sys.stderr.write(f"main.py: error: {where}{message}\n")
        sys.exit(2)

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            names = [word.partition("=")[0] for word in rest if word.startswith("-")] or rest
            near = hint(names[0], self._option_string_actions) or "--help lists the options"
            self.error(f"unrecognized arguments: {' '.join(names)}: {near}")
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        near, listed = hint(str(value), choices), ", ".join(choices)
        if not near and len(listed) > MANY_CHOICES and action.dest == "preset":
            near = f"--list-presets shows all {len(choices)}"
        what = near or f"choose from {listed}"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}: {what}")

    def same_spelling(self, argv: list[str]) -> list[str]:
        known = {name.replace("_", "-"): name for name in self._option_string_actions}
        words = []
        for word in argv:
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                name = known.get(name.replace("_", "-"), name)
            words.append(name + equals + value)
        return words

    def group(self, title: str, about: str = "") -> argparse._ArgumentGroup | None:
        """A new group of options, or None if one of this title is there."""
        if any(group.title == title for group in self._action_groups):
            return None
        return self.add_argument_group(title, about or None)

    def spelling(self, dest: str) -> str:
        """How the option that sets `args.dest` is typed; empty if there is none."""
        names = (a.option_strings[0] for a in self._actions if a.dest == dest and a.option_strings)
        return next(names, "")


def option_name(text: str) -> str:
    """An option as it is named in a table: lr_tab for --lr-tab."""
    return text.lstrip("-").replace("-", "_")


class Flag(argparse.Action):
    """An option that is on or off: `--benchmark` and `--no-benchmark`.

    opposite: what takes it back, if it is not `--no-` and its name.
    """

    def __init__(self, option_strings, dest, default=False, help=None, opposite="") -> None:
        self.opposite = opposite or f"--no-{option_strings[0].removeprefix('--')}"
        names = [*option_strings, self.opposite]
        super().__init__(names, dest, nargs=0, default=default, help=help)

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, option_string != self.opposite)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one, within the columns of a page."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=width())

    def _get_help_string(self, action: argparse.Action) -> str:
        empty = action.default is None or action.default is False
        return action.help if empty else super()._get_help_string(action)


def positive_int(text: str) -> int:
    return whole(text, 1)


def natural(text: str) -> int:
    return whole(text, 0)


def device_label(text: str) -> int:
    return whole(text, -1)


def n_threads(text: str) -> int:
    return whole(text, 0, MANY_THREADS)


def whole(text: str, least: int, most: int = sys.maxsize) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    if value > most:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {most}")
    return value


def real(text: str, fits, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not fits(value):
        commas = ": values are separated by spaces" if "," in text else ""
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}{commas}")
    if abs(value) > LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 32-bit numbers hold, {LARGEST}")
    return value


def positive(text: str) -> float:
    return real(text, lambda v: v > 0, "a number above 0")


def not_negative(text: str) -> float:
    return real(text, lambda v: v >= 0, "a number of at least 0")


def non_zero(text: str) -> float:
    value = real(
        text, lambda v: v != 0, "a number other than 0 (EP is a difference quotient in beta)"
    )
    if abs(value) < SMALLEST:
        raise argparse.ArgumentTypeError(f"{text!r} is nearer to 0 than {SMALLEST}")
    return value


def finite(text: str) -> float:
    return real(text, lambda v: True, "a number")


def share(text: str) -> float:
    return real(text, lambda v: 0 <= v <= 1, "a number from 0 to 1")


def share_kept(text: str) -> float:
    return real(text, lambda v: 0 <= v < 1, "a number of at least 0 and below 1")


def part(text: str) -> float:
    return real(text, lambda v: 0 < v <= 1, "a number above 0 and at most 1")


def over_relaxation(text: str) -> float:
    return real(text, lambda v: 0 < v < 2, "a number between 0 and 2")


def held_share(text: str) -> str:
    if text != "test":
        real(text, lambda v: 0 < v < 1, "a number between 0 and 1, or test")
    return text


def one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not a line of text")
    return text


def euler_step(text: str) -> float:
    return real(text, lambda v: 0 < v <= 1, "a step above 0 and at most 1")


def left_out(name: str, systems: Sequence[Any]) -> str:
    """The end of a help text: what an option is when it is left out, and of which systems else."""
    shared = SHARED[name]
    others = {s.name: s.defaults[name] for s in systems if s.defaults.get(name, shared) != shared}
    words = [f"{system} {in_words(value)}" for system, value in others.items()]
    return "left out: " + ", ".join([in_words(shared), *words])


def in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "all" if value is None else str(value)


def add_actions(parser: Parser, systems: Sequence[Any], actions: dict[str, str]) -> None:
    group = parser.add_argument_group("what to do")
    group.add_argument(
        "-h",
        "--help",
        action=Help,
        help="this overview; a group, an option or `all` in full",
    )
    group.add_argument(
        "--action",
        choices=list(actions),
        default="train",
        help="what is done; "
        + "; ".join(f"{name}: {about}" for name, about in actions.items() if about),
    )
    group.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="FOLDER",
        help="what report and list read, and everything below; the first one gets the report; left "
        "out: --results-dir",
    )
    group.add_argument("--json", action=Flag, help="list: for programs, instead of a table")
    presets = [name for system in systems for name in system.presets]
    group.add_argument(
        "--preset", metavar="NAME", choices=presets, help="options of a published experiment"
    )
    group.add_argument(
        "--list-presets",
        nargs="?",
        const="",
        metavar="WORD",
        help="print the published experiments and end; with a word those of that name, paper or "
        "data set, in full",
    )
    group.add_argument(
        "--print-completion",
        choices=["bash", "zsh"],
        help="print what makes a shell complete the options of ./main.py, and end (needs shtab)",
    )


def add_data(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        choices=[*NAMES, "random"],
        help=f"what is learnt; {left_out('dataset', systems)}, for the curves of the toy model "
        "random",
    )
    group.add_argument("--data-dir", type=Path, default=Path("data"), help="where the data are")
    group.add_argument(
        "--train-samples",
        type=positive_int,
        metavar="N",
        help="learn from so many only, drawn with --seed: for a first look",
    )
    group.add_argument(
        "--test-samples",
        type=positive_int,
        metavar="N",
        help="test on so many only, drawn with --seed; --action evaluate takes all unless told",
    )
    group.add_argument(
        "--test-every",
        type=positive_int,
        default=1,
        metavar="N",
        help="test after every N epochs, and after the last; with --patience the best ones, too",
    )
    group.add_argument(
        "--image-size", type=positive_int, metavar="PIXELS", help="side of the images of a folder"
    )
    group.add_argument("--grey", action=Flag, help="read the images of a folder as grey")
    group.add_argument(
        "--normalise",
        action=Flag,
        help="inputs of mean 0 and standard deviation 1 over the training data, per channel or "
        "column, instead of within 0 and 1",
    )
    group.add_argument(
        "--augment",
        choices=["crop-flip"],
        help="images to learn from are moved by up to 4 pixels each way and mirrored at random",
    )


def add_optimisation(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("optimisation")
    group.add_argument(
        "--batch-size",
        type=positive_int,
        help=f"samples per update; {left_out('batch_size', systems)}",
    )
    group.add_argument(
        "--test-batch-size",
        type=positive_int,
        help=f"when testing; {left_out('test_batch_size', systems)}",
    )
    group.add_argument(
        "--epochs",
        "--n_epochs",
        type=positive_int,
        help=f"passes over the data; {left_out('epochs', systems)}",
    )
    group.add_argument(
        "--minutes",
        type=positive,
        metavar="M",
        help="end after the epoch in which so many minutes of training are over; without --epochs "
        "that alone decides, and equal seeds may learn for different times",
    )
    group.add_argument(
        "--lr_tab",
        type=positive,
        nargs="+",
        metavar="RATE",
        help="learning rates of W01, W12, ..., from the output backwards, or one for all; left "
        "out: the paper's",
    )
    group.add_argument(
        "--training-method",
        type=lambda text: ALIASES.get(text, text),
        choices=list(dict.fromkeys(rule for system in systems for rule in system.rules)),
        default="EP",
        help="the rule (eqprop is EP); coupled and contrastive hold the output in the second phase "
        "at a share --beta of the way to the target, or all of it; BP is backpropagation of the "
        "feedforward network of the same sizes, for --discrete and --C_tab; DEEP and asymEP are "
        "for directed graphs, BrainProp and EBP for the nets of --architecture",
    )
    group.add_argument(
        "--benchmark",
        action=Flag,
        help="train by EP and by BPTT (BrainProp and EBP) from the same weights",
    )
    group.add_argument(
        "--train-error",
        choices=["online", "full"],
        default="online",
        help="full: measure it at once after each epoch, beside the one met while learning",
    )
    group.add_argument(
        "--cosine-samples",
        type=natural,
        default=0,
        metavar="N",
        help="after training, measure on N training samples the cosine between what the rule adds "
        "to the weights and the way down the loss by the exact gradient, of the first and of the "
        "last weights; 0: do not",
    )


def add_optimiser(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("optimiser", "what updates go through on their way")
    group.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        default="sgd",
        help="torch's own; default rates: the papers' are for sgd, times (1 - momentum) for "
        f"momentum and nesterov; {ADAM_RATE:g} for adam and adamw",
    )
    group.add_argument(
        "--momentum",
        type=share_kept,
        default=0.9,
        metavar="SHARE",
        help="of the last change that is kept, by momentum and nesterov",
    )
    group.add_argument(
        "--weight-decay",
        type=not_negative,
        default=0.0,
        metavar="RATE",
        help="of weights and biases: added to their gradients times this; adamw: they shrink by "
        "the learning rate times this",
    )
    group.add_argument(
        "--schedule",
        choices=["constant", "step", "cosine"],
        help="of the rates: step: halved by --halve-every; cosine: to 0 over all epochs, batch by "
        "batch; left out: step if --halve-every says so, else constant",
    )
    group.add_argument(
        "--halve-every",
        type=natural,
        metavar="EPOCHS",
        help="halve the rates after so many; 0: never; left out: feedforward 100",
    )
    group.add_argument(
        "--warmup",
        type=not_negative,
        default=0.0,
        metavar="EPOCHS",
        help="rates rise evenly over so many at the start, batch by batch; parts of one are fine",
    )


def add_phases(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("phases", "of every EP network; symbols as in the papers")
    group.add_argument(
        "--dt",
        type=euler_step,
        help=f"step of the dynamics [epsilon]; {left_out('dt', systems)}",
    )
    group.add_argument(
        "--T",
        "--T1",
        type=positive_int,
        help=f"steps of the free phase [T]; {left_out('T', systems)}",
    )
    group.add_argument(
        "--Kmax",
        "--T2",
        type=positive_int,
        help=f"steps of the nudged phase [K]; {left_out('Kmax', systems)}",
    )
    group.add_argument(
        "--beta",
        type=non_zero,
        help=f"strength of the nudge [beta], either sign; {left_out('beta', systems)}",
    )
    group.add_argument(
        "--beta-sign",
        choices=["fixed", "random", "both"],
        help="random: drawn for every batch; both: a phase with beta and one with -beta, whose "
        f"difference teaches; {left_out('beta_sign', systems)}",
    )
    group.add_argument(
        "--nudge",
        choices=["finite", "linear", "continual"],
        help="finite: a phase nudged by beta; linear: the response to an infinitely small nudge, "
        "from the transposed Jacobian of a step at rest, which gives the exact gradient without "
        "beta and Kmax; continual: the weights follow every step of the nudged phase; "
        f"{left_out('nudge', systems)}",
    )
    group.add_argument(
        "--persistent",
        action=Flag,
        default=None,
        help="start the free phase of a batch where its last one ended, with batches that never "
        f"change; {left_out('persistent', systems)}",
    )


def add_equilibrium(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("equilibrium", "how the free phase finds it")
    group.add_argument(
        "--solver",
        choices=["step", "relax"],
        help="step: T steps of dt, as published; relax: a few sweeps over the layers until rest, "
        "then the nudged phase of at most Kmax; left out: step if --T or --Kmax is typed, else "
        "relax where the network can be relaxed",
    )
    group.add_argument(
        "--omega",
        type=over_relaxation,
        metavar="OMEGA",
        help="relax: over-relaxation of a sweep; left out: the network's own",
    )
    group.add_argument(
        "--tol",
        type=not_negative,
        default=0.0,
        help="step: end a phase when no unit moves more in a step, 0: never; relax: a sample is at "
        "rest when no unit is further from its equilibrium, left out: the network's own",
    )
    group.add_argument(
        "--max-sweeps",
        type=positive_int,
        metavar="N",
        help="relax: most sweeps of a free phase; left out: the network's own, more when testing",
    )


def add_noise(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("noise", "of the hardware, while it learns and in use")
    group.add_argument(
        "--state-noise",
        type=not_negative,
        default=0.0,
        metavar="SIGMA",
        help="standard deviation of what is added to every unit in every step or sweep of all "
        "phases, in tests, too; BrainProp and EBP: in every pass, forwards and back",
    )
    group.add_argument(
        "--weight-noise",
        type=not_negative,
        default=0.0,
        metavar="SIGMA",
        help="mismatch of the devices: a weight w acts as w (1 + SIGMA xi), xi drawn once with "
        "--seed; the rule changes w and does not know xi",
    )


def add_matching(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("gradient matching", "for plotcurves and receipe")
    group.add_argument(
        "--curves", type=positive_int, default=10, help="neurons and synapses stored per layer"
    )
    group.add_argument("--save-full", action=Flag, help="store the curves of all of them")
    group.add_argument("--batches", type=positive_int, default=20, help="mini-batches of receipe")


def add_many(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("many runs")
    group.add_argument(
        "--trials", type=positive_int, default=1, metavar="N", help="as many seeds, from --seed on"
    )
    group.add_argument(
        "--sweep",
        nargs="+",
        action="append",
        metavar=("OPTION", "VALUE"),
        help="a run per value of the option, a list joined by commas; several sweeps make a grid",
    )
    group.add_argument(
        "--jobs", type=positive_int, default=1, metavar="J", help="so many of many runs at a time"
    )
    group.add_argument(
        "--backend",
        choices=["processes", "dask"],
        default="processes",
        help="where many runs are done: on this machine, or by the workers (--nthreads 1) of a "
        "Dask cluster, which must see the same files under the same paths",
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="of the Dask cluster, such as tcp://10.0.0.1:8786"
    )
    group.add_argument(
        "--dry-run", action=Flag, help="print the commands that would be run, and end"
    )


def add_comparison(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("comparison", "of learning rules, for --action compare")
    group.add_argument(
        "--contestants",
        type=Path,
        metavar="FILE",
        help="a CSV file with a line for each that takes part, instead of systems/referee.csv",
    )
    group.add_argument(
        "--datasets",
        choices=NAMES,
        nargs="+",
        default=["digits"],
        metavar="NAME",
        help="what they learn, one after the other",
    )
    group.add_argument(
        "--to-error",
        type=not_negative,
        metavar="PERCENT",
        help="the table says after how many epochs the test error is not above it; left out: 5",
    )


def add_runs(parser: Parser, systems: Sequence[Any]) -> None:
    group = parser.add_argument_group("runs")
    group.add_argument("--seed", type=natural, default=0, help="of weights and order of the data")
    group.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="go on with a stopped run, or many of them"
    )
    group.add_argument(
        "--load",
        type=Path,
        metavar="FILE",
        help="checkpoint, or file of weights, whose network is evaluated or measured",
    )
    group.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="evaluate: write the weights and their options, as safetensors, for --load",
    )
    group.add_argument("--config", type=Path, metavar="FILE", help="re-run a hyperparameters.json")
    group.add_argument(
        "--name", type=one_line, metavar="TEXT", help="what the run is called; list finds it by it"
    )
    group.add_argument(
        "--note", type=one_line, metavar="TEXT", help="a line to remember, kept with the result"
    )
    group.add_argument("--results-dir", type=Path, default=Path("results"), help="for the results")
    group.add_argument(
        "--device-label", type=device_label, default=-1, metavar="N", help="CUDA device, -1: CPU"
    )
    group.add_argument(
        "--threads",
        type=n_threads,
        default=0,
        metavar="N",
        help="of the CPU; 0: 1 for networks whose steps are too short to share, else torch's "
        "choice; of many runs 1 each, so that their results are the same with every --jobs",
    )
    group.add_argument(
        "--dtype",
        choices=["float32", "float64"],
        help=f"reals; {left_out('dtype', systems)}",
    )
    group.add_argument(
        "--compile",
        action=Flag,
        help="hand the steps to torch.compile (needs a C++ compiler)",
    )
    group.add_argument(
        "--tensorboard",
        action=Flag,
        help="write the numbers of metrics.csv for TensorBoard, too (needs tensorboard)",
    )
    group.add_argument(
        "--no-figures",
        action=Flag,
        opposite="--figures",
        help="draw none; python plotFunctions.py in the folder of the result does later",
    )
    group.add_argument("--quiet", action=Flag, help="no progress bar")


GROUPS = (add_data, add_optimisation, add_optimiser, add_phases, add_equilibrium, add_noise)
LAST_GROUPS = (add_matching, add_many, add_comparison, add_runs)


def build_parser(systems: Sequence[Any], actions: dict[str, str]) -> Parser:
    """The parser of all options.

    Args:
        systems: those of systems/, which add their groups.
        actions: their names, and what each does.
    """
    parser = Parser(
        prog="main.py",
        usage=USAGE,
        add_help=False,
        description="Learning without backpropagation: train a network, get a result folder and "
        "the figures. Symbols in brackets are the papers'.",
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    add_actions(parser, systems, actions)
    for add_group in GROUPS:
        add_group(parser, systems)
    for system in systems:
        system.add_options(parser)
    for add_group in LAST_GROUPS:
        add_group(parser, systems)
    return parser
