"""The command line: `parse(argv)` returns the options as a frozen record.

A mistake ends the program with one line and exit status 2. Nothing in this folder needs torch, so
that --help and a mistake answer at once.
"""

from __future__ import annotations

import argparse
import sys

from commandLine.actions import ACTIONS, FILTERS
from commandLine.checks import (
    FREE_WHEN_RESUMING,
    check_kind,
    check_many,
    check_noise,
    check_nudge,
    check_optimizer,
    check_pairs,
    check_phases,
    check_rule,
    check_solver,
    check_sweeps,
    check_typed,
    stray,
)
from commandLine.settings import Settings, build_parser, defaults_for
from commandLine.words import completion, expanded, recorded_words, typed_options, unchanged
from errors import UserError
from options.defaults import ENDLESS
from systems import SYSTEMS, system_of
from systems.listing import listing


def parse(argv: list[str]) -> Settings:
    """Read a command line, with the options of a preset, a record or a checkpoint before it.

    Ends the program with status 2 and one line if an option is wrong or does not fit the others.
    """
    parser = build_parser()
    words = expanded(argv)
    base = recorded_words(parser, words)
    args = parser.parse_args(base + words)
    before = parser.parse_args(base) if base else None
    if args.print_completion:
        print(completion(parser, args.print_completion))
        sys.exit(0)
    typed = typed_options(words)
    try:
        if args.list_presets is not None:
            print(listing(SYSTEMS, args.list_presets))
            sys.exit(0)
        check_kind(args, before, typed)
        return settled(args, typed, typed - unchanged(args, base, typed))
    except UserError as error:
        parser.error(str(error))


def settled(args: argparse.Namespace, typed: set[str], new: set[str]) -> Settings:
    """The options with their defaults filled in, checked against each other.

    Args:
        typed: names of the options on the command line. new: without those that only repeat what
            was recorded.
    Raises:
        UserError: they contradict each other, or one is not read.
    """
    looks = not ACTIONS[args.action].of_systems  # at results, whatever they are of
    if args.folders and not looks:
        raise UserError(stray(" ".join(map(str, args.folders))))
    by_hand_wins(args, typed)
    system = system_of(args)
    check_typed(args, system, typed)
    values = vars(args) | defaults_for(args, system)
    settings = Settings(**values, system=system)
    if ACTIONS[args.action].defaults:
        return planning(settings, typed, new)
    if looks:
        return settings.changed(**dict.fromkeys(FILTERS - typed))
    check_pairs(settings, typed, new)
    check_sweeps(args.sweep or [])
    check_many(settings, typed)
    check_solver(settings, typed)
    check_nudge(settings, typed)
    check_phases(settings)
    check_optimizer(settings, typed, new)
    system.check(settings, typed)
    check_rule(settings)
    check_noise(settings)
    return settings


def planning(settings: Settings, typed: set[str], new: set[str]) -> Settings:
    """The options of an action that plans many runs itself, of systems that differ."""
    given = dict(ACTIONS[settings.action].defaults)
    if settings.minutes:
        given["epochs"] = ENDLESS
    settings = settings.changed(**{k: v for k, v in given.items() if k not in typed})
    check_sweeps(settings.sweep or [])
    check_many(settings, typed)
    fixed = new - FREE_WHEN_RESUMING - {"action", "to_error"}
    if settings.resume and fixed:
        wrong = ", ".join(build_parser().spelling(name) for name in sorted(fixed))
        raise UserError(f"--resume goes on with the planned runs: {wrong} cannot be changed")
    return settings


def by_hand_wins(args: argparse.Namespace, typed: set[str]) -> None:
    """What is typed ends what a preset or a record says against it: a method its --benchmark, a

    number of steps its --solver.
    """
    compares = "benchmark" not in system_of(args).refuses
    if "benchmark" in typed and "training_method" in typed and args.benchmark and compares:
        raise UserError("--benchmark trains by two methods: leave --training-method out")
    if "training_method" in typed:
        args.benchmark = False
    if typed & {"T", "Kmax"} and "solver" not in typed:
        args.solver = None
    if "halve_every" in typed and "schedule" not in typed:
        args.schedule = None
