"""Every option of the command line: its name, its values, its help, in groups.

Defaults that depend on the system are settled in commandLine.py; here they are only named.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import NoReturn

from datasets import DATASETS
from netClasses import ACTIVATIONS
from networks.brainprop import ARCHITECTURES, EPSILON
from networks.smallWorld import NETWORK_TYPES
from presets import PRESETS

METHODS = {"EP": "EP", "eqprop": "EP"}
METHODS |= {name: name for name in ("BPTT", "DEEP", "asymEP", "BrainProp", "EBP")}


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


def option_name(text: str) -> str:
    """An option as it is named in a table: lr_tab for --lr-tab."""
    return text.lstrip("-").replace("-", "_")


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


def finite(text: str) -> float:
    return real(text, lambda v: True, "a number")


def share(text: str) -> float:
    return real(text, lambda v: 0 <= v <= 1, "a number from 0 to 1")


def held_share(text: str) -> str:
    if text != "test":
        real(text, lambda v: 0 < v < 1, "a number between 0 and 1, or test")
    return text


def euler_step(text: str) -> float:
    return real(text, lambda v: 0 < v <= 1, "a step above 0 and at most 1")


def add_actions(parser: Parser) -> None:
    group = parser.add_argument_group("what to do")
    group.add_argument(
        "--action",
        choices=["train", "plotcurves", "receipe", "recipe", "evaluate", "report"],
        default="train",
        help="train; plotcurves: EP's updates beside BPTT's gradients, step by step; receipe: "
        "share of synapses where their signs agree; evaluate: test a checkpoint; report: all "
        "results beside the papers' figures",
    )
    group.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="FOLDER",
        help="what a report reads, and everything below; the first one gets it; left out: "
        "--results-dir",
    )
    group.add_argument(
        "--preset", metavar="NAME", choices=list(PRESETS), help="options of a published experiment"
    )
    group.add_argument("--list-presets", action="store_true", help="print the presets and end")
    group.add_argument(
        "--print-completion",
        choices=["bash", "zsh"],
        help="print what makes a shell complete the options of ./main.py, and end (needs shtab)",
    )


def add_data(parser: Parser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        choices=[*DATASETS, "random"],
        help="what is learnt; left out: mnist, for the curves of the toy model random",
    )
    group.add_argument("--data-dir", type=Path, default=Path("data"), help="where the data are")
    group.add_argument(
        "--train-samples",
        type=positive_int,
        metavar="N",
        help="learn from so many only, drawn with --seed: for a first look",
    )
    group.add_argument(
        "--image-size", type=positive_int, metavar="PIXELS", help="side of the images of a folder"
    )
    group.add_argument("--grey", action="store_true", help="read the images of a folder as grey")


def add_optimisation(parser: Parser) -> None:
    group = parser.add_argument_group("optimisation")
    group.add_argument(
        "--batch-size",
        type=positive_int,
        help="samples per update; 20, directed EP: all, BrainProp 128 (loccon 32)",
    )
    group.add_argument(
        "--test-batch-size",
        type=positive_int,
        help="when testing; 1000, directed EP: all, BrainProp 128",
    )
    group.add_argument(
        "--epochs",
        "--n_epochs",
        type=positive_int,
        help="passes over the data; 1, directed EP 200, BrainProp 500",
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
        choices=list(METHODS),
        default="EP",
        help="eqprop is EP; DEEP and asymEP are for directed graphs, BrainProp and EBP for the "
        "nets of --architecture",
    )
    group.add_argument(
        "--benchmark",
        action="store_true",
        help="train by EP and by BPTT (BrainProp and EBP) from the same weights",
    )
    group.add_argument(
        "--train-error",
        choices=["online", "full"],
        default="online",
        help="full: measure it at once after each epoch, beside the one met while learning",
    )


def add_phases(parser: Parser) -> None:
    group = parser.add_argument_group("phases", "of every EP network; symbols as in the papers")
    group.add_argument(
        "--dt",
        type=euler_step,
        help="step of the dynamics [epsilon]; left out: 0.2 energy-based, 1 prototypical, 0.5 "
        "with --network-type, 0.05 directed EP",
    )
    group.add_argument(
        "--T",
        "--T1",
        type=positive_int,
        help="steps of the free phase [T]; left out: 100, directed EP 1000",
    )
    group.add_argument(
        "--Kmax",
        "--T2",
        type=positive_int,
        help="steps of the nudged phase [K]; left out: 25, directed EP 1000",
    )
    group.add_argument(
        "--beta",
        type=non_zero,
        help="strength of the nudge [beta], either sign; left out: 1, directed EP 10",
    )
    group.add_argument(
        "--beta-sign",
        choices=["fixed", "random"],
        help="random: drawn for every batch; left out: fixed, with --network-type random",
    )
    group.add_argument(
        "--persistent",
        action=argparse.BooleanOptionalAction,
        help="start the free phase of a batch where its last one ended, with batches that never "
        "change; left out: with --network-type only",
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
        "--activation-function",
        choices=list(ACTIVATIONS),
        default="sigm",
        help="rho; with --network-type states are clipped to [0, 1] instead",
    )
    group.add_argument(
        "--no-clamp", action="store_true", help="energy-based: do not keep states in [0, 1]"
    )
    group.add_argument(
        "--exact-output",
        action="store_true",
        help="energy-based: rho' at the output layer too, which the published dynamics leaves out",
    )


def add_layer_skipping(parser: Parser) -> None:
    group = parser.add_argument_group("layer-skipping EP", "names as in Gammell et al. 2021")
    group.add_argument(
        "--network-type",
        choices=NETWORK_TYPES,
        help="MLFF: layered; SW_no_intra: layered links, some rewired to skip layers (the paper's "
        "small world); SW_intra: hidden layers fully connected inside, too",
    )
    group.add_argument(
        "--bypass-p", type=share, metavar="P", help="probability to rewire a link [p]; 0.1"
    )
    group.add_argument(
        "--bypass-mag",
        type=not_negative,
        metavar="A",
        help="new links start uniform in +-A [a]; left out: mean Glorot bound of adjacent layers",
    )


def add_directed(parser: Parser) -> None:
    group = parser.add_argument_group(
        "directed EP", "names as in Tristany Farinha et al. 2020; with DEEP and asymEP"
    )
    group.add_argument(
        "--N_H",
        type=natural,
        nargs="+",
        metavar="N",
        help="hidden neurons; with --layered of each layer, from the inputs on; left out: 5",
    )
    group.add_argument(
        "--layered", action="store_true", help="link neighbouring layers only, both ways"
    )
    group.add_argument(
        "--num_net", type=positive_int, default=1, metavar="N", help="independent networks"
    )
    group.add_argument("--one-hot", action="store_true", help="an output per answer, not one bit")
    group.add_argument("--dt_W", type=positive, help="step of the weights; 100, asymEP 1")
    group.add_argument("--beta_0", type=finite, default=0.0, help="DEEP: weight of S_i S_j")
    group.add_argument("--beta_1", type=finite, default=1.0, help="DEEP: weight of S_i dS_j")
    group.add_argument("--sign", action="store_true", help="learn from the signs of updates")
    group.add_argument("--regularized", action="store_true", help="add an L1 penalty")
    group.add_argument("--reg_W", type=not_negative, default=0.00015, help="of the L1 penalty")
    group.add_argument("--sparse", action="store_true", help="remove weak weights at random")
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
        "--init-std", type=not_negative, default=0.05, help="standard deviation of first weights"
    )
    group.add_argument(
        "--init-state",
        type=not_negative,
        default=0.1,
        help="free phases start uniform from 0 to this, anew every epoch",
    )


def add_brainprop(parser: Parser) -> None:
    group = parser.add_argument_group("BrainProp", "names as in Pozzi et al. 2020")
    group.add_argument(
        "--architecture",
        choices=list(ARCHITECTURES),
        help="the network; left out: dense; other options follow from it as published",
    )
    group.add_argument(
        "--epsilon", type=share, default=EPSILON, help="share of choices drawn from the softmax"
    )
    group.add_argument(
        "--validation",
        type=held_share,
        metavar="SHARE",
        help="of the training data, which decides on the best epoch and the end; test: the test "
        "data decide, as in the published program; left out: 0.1",
    )
    group.add_argument(
        "--patience",
        type=natural,
        metavar="EPOCHS",
        help="end after so many without 0.1 %% less error; 0: never; left out: 45",
    )
    group.add_argument(
        "--halve-every",
        type=natural,
        metavar="EPOCHS",
        help="halve the rate after so many; 0: never; left out: 100",
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
        choices=["loky", "dask"],
        default="loky",
        help="where many runs are done: on this machine, or by the workers (--nthreads 1) of a "
        "Dask cluster, which must see the same files under the same paths",
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="of the Dask cluster, such as tcp://10.0.0.1:8786"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="print the commands that would be run, and end"
    )
    group.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="go on with a stopped run, or many of them"
    )
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
        "--threads",
        type=natural,
        default=0,
        metavar="N",
        help="of the CPU; 0: 1 for networks whose steps are too short to share, else torch's "
        "choice; of many runs 1 each, so that their results are the same with every --jobs",
    )
    group.add_argument(
        "--dtype",
        choices=["float32", "float64"],
        help="reals; left out: float32, directed EP float64",
    )
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
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the numbers of metrics.csv for TensorBoard, too (needs tensorboard)",
    )
    group.add_argument("--quiet", action="store_true", help="no progress bar")


GROUPS = (
    add_actions,
    add_data,
    add_optimisation,
    add_phases,
    add_layered_ep,
    add_layer_skipping,
    add_directed,
    add_brainprop,
    add_matching,
    add_runs,
)


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
