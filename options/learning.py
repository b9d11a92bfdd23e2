"""The shared options of data, learning and phases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from options.defaults import ADAM_RATE, ALIASES, OPTIMIZERS, left_out
from options.parser import Flag, Parser
from options.values import (
    euler_step,
    natural,
    non_zero,
    not_negative,
    over_relaxation,
    positive,
    positive_int,
    share_kept,
)
from readers.names import NAMES


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
