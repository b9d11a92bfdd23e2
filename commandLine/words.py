"""From words to options: those typed, and those that a preset or a record stands for."""

from __future__ import annotations

import argparse
import functools
import shlex
from pathlib import Path
from typing import Any

from commandLine.actions import ABOUT
from commandLine.settings import build_parser
from errors import RunError
from options.parser import Flag, Parser
from options.shared import build_parser as parser_of
from records.exported import read_network_options
from records.names import PLAN, RECORD
from records.record import read_options
from systems import PRESETS, SYSTEMS
from systems.brainprop import BATCH_SIZE, BRAINPROP, PUBLISHED_DATASETS


def expanded(argv: list[str]) -> list[str]:
    """The words of a command line with their options spelt as this program does."""
    parser = build_parser()
    return parser.same_spelling(published_words(parser, argv))


def published_words(parser: Parser, argv: list[str]) -> list[str]:
    """BrainProp's published command line, <dataset> <architecture> <algorithm> [-s] [-l FILE],

    as options; any other is left as it is. -s asks for files that are always written here.
    """
    if not argv or argv[0] not in PUBLISHED_DATASETS:
        return argv
    first = argparse.ArgumentParser(prog="main.py", add_help=False, allow_abbrev=False)
    first.error = parser.error
    first.add_argument("dataset", choices=PUBLISHED_DATASETS)
    first.add_argument("architecture", choices=BATCH_SIZE)
    first.add_argument("algorithm", choices=BRAINPROP.rules)
    first.add_argument("-s", action="store_true")
    first.add_argument("-l", metavar="FILE")
    named, rest = first.parse_known_args(argv)
    if named.l:
        return ["--action", "evaluate", "--load", named.l, *rest]
    words = ["--dataset", PUBLISHED_DATASETS[named.dataset], "--architecture", named.architecture]
    return [*words, "--training-method", named.algorithm, *rest]


def typed_options(words: list[str]) -> set[str]:
    """Names of the options that a command line sets."""
    return set(values_of(words))


def values_of(words: list[str]) -> dict[str, Any]:
    """The options that some words set, by name."""
    return vars(parser_without_defaults().parse_args(words))


@functools.cache
def parser_without_defaults() -> Parser:
    """The parser of all options, which says nothing of those that are not typed."""
    parser = parser_of(SYSTEMS, ABOUT)
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return parser


def unchanged(args: argparse.Namespace, base: list[str], typed: set[str]) -> set[str]:
    """The typed options that have just the value they were recorded with."""
    if args.resume is None or not base:
        return set()
    recorded = vars(build_parser().parse_args(base))
    return {name for name in typed if getattr(args, name) == recorded[name]}


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
            return checked_words(parser, read_options(chosen["config"]), chosen["config"])
        if "resume" in chosen and not (Path(chosen["resume"]) / PLAN).exists():
            record = Path(chosen["resume"]) / RECORD
            if not record.exists():
                what = "is no folder of a run" if record.parent.is_dir() else "does not exist"
                raise RunError(f"{record.parent} {what}: give one that holds a {RECORD}")
            return checked_words(parser, resumable(read_options(record), record), record)
        if "load" in chosen:
            recorded = read_network_options(chosen["load"])
            return words_of(parser, {k: v for k, v in recorded.items() if k != "test_samples"})
    except RunError as error:
        parser.error(f"--{next(iter(chosen))}: {error}")
    return []


def checked_words(parser: Parser, options: dict[str, Any], source: str | Path) -> list[str]:
    """The words of recorded options, each of which is right by itself; a mistake names its file."""
    parser.source = str(source)
    words = words_of(parser, options)
    parser.parse_args(words)
    parser.source = ""
    return words


def resumable(options: dict[str, Any], record: Path) -> dict[str, Any]:
    """The recorded options, if they are those of a training.

    Raises:
        RunError: they are of something that is done in one go.
    """
    action = options.get("action", "train")
    if action != "train":
        raise RunError(
            f"{record.parent} is of --action {action}, which has no middle to go on from: do it "
            f"again by --config {record}"
        )
    return options


def words_of(parser: Parser, options: dict[str, Any]) -> list[str]:
    """Recorded options as words of a command line, so that they meet the same checks."""
    words = []
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    for key, value in options.items():
        if key not in actions:
            parser.error(f"the record has an option {key!r} that this program does not know")
        action = actions[key]
        name = action.option_strings[0]
        if isinstance(action, Flag):
            words += [] if value is None else [name if value else action.opposite]
        elif isinstance(value, list):
            words += [name, *map(str, value)]
        elif value is not None and value is not False:
            words.append(f"{name}={value}")
    return words


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
