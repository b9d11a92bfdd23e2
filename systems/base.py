"""What a system is to the rest of the program, and what its presets are.

A system declares: options, defaults, presets, names. It needs no torch, so that --help and a
mistake answer at once; only `build` loads what it computes with. `docs/add-a-system.md` adds one.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, NamedTuple

from options.defaults import ADAM_RATE
from systems.papers import results_of, sentence

PHASES = frozenset(  # shared options that only networks with a state driven to rest read
    {"dt", "T", "Kmax", "beta", "beta_sign", "nudge", "persistent", "compile"}
    | {"solver", "omega", "tol", "max_sweeps"}
)
OPTIMISING = frozenset(  # shared options that a system owns whose rules can use them
    {"optimizer", "momentum", "weight_decay", "schedule", "halve_every", "warmup"}
)
MEASURING = {"plotcurves", "receipe", "recipe"}  # actions that compare EP with BPTT


def rates_with(args: argparse.Namespace, rates: list[float]) -> list[float]:
    """Default rates of an optimiser, where `rates` are those of plain gradient descent."""
    if args.optimizer in ("adam", "adamw"):
        return [ADAM_RATE] * len(rates)
    kept = args.momentum if args.optimizer != "sgd" else 0.0
    return [rate * (1 - kept) for rate in rates]


class Preset(NamedTuple):
    """A published experiment: the options it stands for."""

    options: str  # as typed on the command line
    paper: tuple[str, ...]  # experiments in papers.csv
    differs: str = ""  # what differs from the published command, and why

    @property
    def epochs(self) -> int:
        """The epochs it asks for, 0 if it leaves them to the system."""
        words = self.options.split()
        return int(words[words.index("--epochs") + 1]) if "--epochs" in words else 0

    @property
    def reported(self) -> str:
        """What the paper reports, with its source."""
        return sentence(results_of(*self.paper), self.epochs)


class Measure(NamedTuple):
    """A column of the report's tables."""

    name: str  # in papers.csv, and of what a run has measured
    title: str
    unit: str | None = None  # None: that of the run's errors
    digits: int = 2


ERRORS = (Measure("test_error", "Test error"), Measure("train_error", "Training error"))
SEARCH = (  # of a free phase that was relaxed: mean over the samples, and the worst of them
    Measure("sweeps_free", "Sweeps", "", 1),
    Measure("residual_free_worst", "Residual", "", 4),
)
COST = (Measure("products", "Passes per sample", "", 1),)  # forward passes that learning costs


class System:
    """A published system: all that the rest of the program knows of it.

    An option may be typed if the system owns it, or shares it and does not leave it out, and the
    action reads it.
    """

    name = ""  # as messages and records call it
    title = ""  # of its section of the report
    reference = ""  # the paper
    paper_key = ""  # of its rows in papers.csv
    # Training methods; --benchmark compares the first two.
    rules: tuple[str, ...] = ("EP", "BPTT", "coupled", "contrastive")
    selectors: frozenset[str] = frozenset()  # options that choose it
    owns: frozenset[str] = frozenset()  # options of its own
    learning: frozenset[str] = frozenset()  # those that are read while it learns only
    structure: frozenset[str] = frozenset()  # those that a checkpoint's network has for good
    only_with: dict[str, str] = {}  # option -> the flag without which it is not read
    leaves_out: frozenset[str] = frozenset()  # shared options that it does not read
    rule_leaves_out: dict[str, frozenset[str]] = {
        "BPTT": frozenset({"beta", "beta_sign", "nudge"}),
        "coupled": frozenset({"nudge"}),
        "contrastive": frozenset({"beta", "beta_sign", "nudge"}),
    }
    nudges: tuple[str, ...] = ("finite", "linear", "continual")  # ways of --nudge it knows
    has_phases = True  # its networks are driven to rest: it reads PHASES
    restless = ""  # why its networks cannot be relaxed, if they cannot
    free_output = False  # no bounds keep a relaxed output under a nudge of -1 or below
    defaults: dict[str, Any] = {}  # of options, where they differ from the shared ones
    presets: dict[str, Preset] = {}
    measures: tuple[Measure, ...] = ERRORS + SEARCH + COST
    kept_epoch = False  # the weights of the best epoch are the result
    shown_as = "error"  # what its curves show; "accuracy": 100 minus the error

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add a group with the options it owns; another system of the family may have done so."""

    def is_meant(self, args: argparse.Namespace) -> bool:
        """Whether these options choose it; the first system of `SYSTEMS` that says so is taken."""
        raise NotImplementedError

    def reads(self, action: Any) -> frozenset[str]:
        """Its own options that an action (commandLine/actions.py) reads of it, and shared ones that

        the action reads of no other system.
        """
        return self.owns if action.teaches else self.owns - self.learning

    @property
    def refuses(self) -> frozenset[str]:
        """The shared options that it does not read."""
        return self.leaves_out if self.has_phases else self.leaves_out | PHASES

    def defaults_of(self, args: argparse.Namespace) -> dict[str, Any]:
        """`defaults`, and those that depend on other options."""
        return self.defaults

    def check(self, args: argparse.Namespace, typed: set[str]) -> None:
        """Raise UserError where its own options contradict each other."""

    def settle(self, args: argparse.Namespace, data: Any) -> dict[str, Any]:
        """Options that follow from the data set (`shape`, `n_classes`), where they were left out.

        Raises:
            UserError: the options do not fit the data.
        """
        return {}

    def build(self, args: argparse.Namespace, data: Any) -> Any:
        """The network that the options describe, with the weights that --seed stands for.

        Raises:
            ValueError: sizes that do not fit each other.
        """
        raise NotImplementedError

    def rebuild(self, args: argparse.Namespace, data: Any, state: dict[str, Any]) -> Any:
        """The network to load a `state_dict()` into: its structure is that of the state.

        Raises:
            ValueError: the state is of another network.
        """
        return self.build(args, data)

    def source(self, args: argparse.Namespace) -> Path | None:
        """A file of the user's that defines the network, if there is one."""
        return None

    def folder_name(self, args: argparse.Namespace) -> str:
        """Folder of the runs of a kind of network, such as ep_disc_2hidden."""
        raise NotImplementedError

    def multiplications(self, args: argparse.Namespace, data: Any) -> float:
        """About how many a step of the dynamics takes; infinitely many without dynamics."""
        return math.inf

    def n_weights(self, args: argparse.Namespace, data: Any) -> int:
        """About how many numbers a network keeps at least, where sizes are typed."""
        return 0

    def n_states(self, args: argparse.Namespace, data: Any) -> int:
        """About how many numbers a phase keeps at least, where all patterns are one batch."""
        return 0

    def cautions(self, args: argparse.Namespace, data: Any) -> list[str]:
        """What a training should be warned of at its start, a sentence each."""
        return []

    def starts_anywhere(self, args: argparse.Namespace) -> bool:
        """Whether the state that a free phase starts from is drawn with the seed."""
        return False

    def cosine(self, net: Any, method: str, data: Any, target: Any, schedule: Any) -> float:
        """Cosine between what a batch adds to all weights and the way down the loss by the exact

        gradient; nan where it is not defined.
        """
        if not self.has_phases:
            return math.nan
        from networks.audit import cosine_of_update

        return cosine_of_update(net, method, data, target, schedule)

    def stored_values(self, net: Any, method: str, x: Any, schedule: Any) -> float:
        """How many numbers the rule keeps of a sample (1, ...) while it learns it; nan: unknown."""
        if not self.has_phases:
            return math.nan
        from networks.storage import stored_values

        return stored_values(net, method, x, schedule)

    def finish(self, nets: dict, data: Any, schedule: Any, history: dict) -> tuple[dict, str]:
        """After training: more arrays for results.npz, and the text of report.txt."""
        return {}, ""

    def describe(self, net: Any, data: Any, schedule: Any) -> str:
        """What an evaluation prints of a network before its error."""
        return ""

    def more_curves(self, net: Any, data: Any, schedule: Any, epochs: int) -> dict[str, Any]:
        """Arrays that plotcurves measures of this system alone."""
        return {}

    @property
    def compared(self) -> list[str]:
        """The methods that --benchmark trains by."""
        return list(self.rules[:2])

    def __repr__(self) -> str:
        return f"<system {self.name} {'/'.join(self.rules)}>"
