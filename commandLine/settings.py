"""The options of a run as a frozen record, and what follows from them."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from commandLine.actions import ABOUT, ACTIONS
from options.defaults import ENDLESS, SHARED
from options.parser import Parser
from options.shared import build_parser as parser_of
from records.names import PLAN
from systems import SYSTEMS
from systems.base import System

NOT_RECORDED = {"config", "resume", "preset", "list_presets", "print_completion", "quiet", "sweep"}
NOT_RECORDED |= {"trials", "jobs", "backend", "scheduler", "dry_run", "folders", "system", "n_out"}
NOT_RECORDED |= {"json", "contestants", "datasets", "to_error", "export"}


class Settings(SimpleNamespace):
    """The options of a run, and the `system` that they mean; nobody writes to them."""

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"settings are frozen: {name} = {value!r} would be a change")

    def changed(self, **values: Any) -> Settings:
        """The same with other values."""
        return type(self)(**vars(self) | values)


@functools.cache
def build_parser() -> Parser:
    """The parser of all options of all systems."""
    return parser_of(SYSTEMS, ABOUT)


@functools.cache
def owned() -> frozenset[str]:
    """The options that some system owns."""
    return frozenset().union(*(system.owns for system in SYSTEMS))


def defaults_for(args: argparse.Namespace, system: System) -> dict[str, Any]:
    """Values of the options that were left out and depend on the system."""
    defaults = {k: v for k, v in SHARED.items() if k not in system.refuses}
    defaults |= system.defaults_of(args)
    if system.has_phases:
        stepped = args.T or args.Kmax or system.restless
        unsaid = "step" if stepped else system.defaults.get("solver", "relax")
        defaults["solver"] = args.solver or unsaid
        if defaults["solver"] == "relax" and not ACTIONS[args.action].every_solver:
            defaults["T"] = None  # it is as long as it takes
    if args.minutes and args.epochs is None:
        defaults["epochs"] = ENDLESS  # which the minutes end
    if "schedule" in system.owns:
        halves = defaults.get("halve_every") if args.halve_every is None else args.halve_every
        defaults["schedule"] = "step" if halves else "constant"
    return {name: v for name, v in defaults.items() if getattr(args, name) is None}


def is_many(args: Settings) -> bool:
    """The command stands for runs in a common folder."""
    planned = bool(args.resume and (args.resume / PLAN).exists())
    return planned or bool(args.sweep or args.trials > 1 or ACTIONS[args.action].defaults)


def methods_of(args: Settings) -> list[str]:
    """The methods a run trains by."""
    return args.system.compared if args.benchmark else [args.training_method]


def fitted(args: Settings, data: Any) -> Settings:
    """The settings with what follows from the sizes of the data.

    Raises:
        UserError: they do not fit the data.
    """
    return args.changed(**args.system.settle(args, data))


def recorded_options(args: Settings) -> dict[str, Any]:
    """Every option that shapes the run, as plain values for the record."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in NOT_RECORDED
    }
