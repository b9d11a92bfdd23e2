"""The shared options of what is done, of runs, of many runs and of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manual.help import Help
from options.defaults import left_out
from options.parser import Flag, Parser
from options.values import device_label, n_threads, natural, not_negative, one_line, positive_int
from readers.names import NAMES


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
