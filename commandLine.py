"""The command line: what must hold between options, and the defaults that depend on others.

`parse(argv)` returns the options as a frozen record; a mistake ends the program with one line and
exit status 2. `fitted(settings, data)` settles those that follow from the data set. Nothing here
needs torch, so that --help and a mistake answer at once.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from errors import RunError, UserError
from manual.spelling import hint
from options.defaults import ENDLESS, SHARED
from options.parser import Flag, Parser, option_name
from options.shared import build_parser as parser_of
from records.exported import read_network_options
from records.names import PLAN, RECORD
from records.record import read_options
from runs.actions import ABOUT, ACTIONS, ALWAYS, FILTERS
from systems import PRESETS, SYSTEMS, system_of
from systems.base import System
from systems.brainprop import BATCH_SIZE, BRAINPROP, PUBLISHED_DATASETS
from systems.listing import listing

FREE_WHEN_RESUMING = {"resume", "epochs", "data_dir", "device_label", "threads", "quiet"}
FREE_WHEN_RESUMING |= {"name", "note", "no_figures"}
FREE_WHEN_RESUMING |= {"tensorboard", "jobs", "backend", "scheduler", "dry_run"}
OF_MANY_RUNS = ("jobs", "backend", "scheduler")
MOST_JOBS, JOBS_PER_CORE, MOST_RUNS = 64, 8, 100_000
SELECTORS = frozenset().union(*(system.selectors for system in SYSTEMS))
NOT_RECORDED = {"config", "resume", "preset", "list_presets", "print_completion", "quiet", "sweep"}
NOT_RECORDED |= {"trials", "jobs", "backend", "scheduler", "dry_run", "folders", "system", "n_out"}
NOT_RECORDED |= {"json", "contestants", "datasets", "to_error", "export"}


NOT_SWEPT = NOT_RECORDED | {"seed", "help", "results_dir"}


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


# From words to options --------------------------------------------------------------------------


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
    parser = parser_of(SYSTEMS, ABOUT)
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return vars(parser.parse_args(words))


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


# What must hold between options -----------------------------------------------------------------


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


def stray(word: str) -> str:
    """What is wrong with a word that belongs to no option, and the option that takes it."""
    for action in build_parser()._actions:
        if action.option_strings and word in (action.choices or ()):
            return (
                f"unrecognized arguments: {word}: did you mean {action.option_strings[0]} {word}?"
            )
    return f"unrecognized arguments: {word}: an option begins with --"


def check_kind(
    args: argparse.Namespace, before: argparse.Namespace | None, typed: set[str]
) -> None:
    """Raise UserError if what is typed asks for another kind of network than the stored one."""
    if before is None or not (args.load or args.resume):
        return
    stored, asked = system_of(before), system_of(args)
    if stored is asked or not typed & SELECTORS:
        return
    how = build_parser().spelling(sorted(typed & SELECTORS)[0])
    raise UserError(
        f"{how} cannot be changed: {'--load' if args.load else '--resume'} takes a network of the "
        f"{stored.name} kind, and this asks for one of the {asked.name} kind"
    )


def check_typed(args: argparse.Namespace, system: System, typed: set[str]) -> None:
    """Raise UserError for a typed option that the system or the action does not read."""
    parser, action = build_parser(), ACTIONS[args.action]
    if not system.has_phases and (action.compares or action.of_phases):
        raise UserError(
            f"--action {args.action} is for equilibrium networks, not for {system.name} ones"
        )
    recorded = {n for n in owned() - system.owns if getattr(args, n) != parser.get_default(n)}
    for name in sorted(typed | recorded if action.of_systems else typed):
        if name in ALWAYS and (action.of_systems or name in ("action", "quiet")):
            continue
        how = parser.spelling(name) or name
        own = name in owned()
        if action.of_systems and (name not in system.owns if own else name in system.refuses):
            why = "" if name in typed or not typed & SELECTORS else of_record(args, typed)
            raise UserError(
                f"{how} is not used by the {system.name} network{why or users_of(name)}"
            )
        reads = system.reads(action) if action.of_systems else frozenset()
        if name not in (reads if own and action.of_systems else action.reads) | reads:
            raise UserError(f"{how} is not used by --action {args.action}")
        flag = system.only_with.get(name)
        if flag and not getattr(args, flag):
            raise UserError(f"{how} is used with {parser.spelling(flag)} only")
    left_out = system.rule_leaves_out.get(args.training_method, frozenset())
    if action.teaches and not args.benchmark and typed & left_out:
        how = parser.spelling(sorted(typed & left_out)[0])
        raise UserError(f"{how} is not used by --training-method {args.training_method}")


def users_of(name: str) -> str:
    """The networks that read an option which few do, as the end of a sentence."""
    users = list(dict.fromkeys(system.name for system in SYSTEMS if name in system.owns))
    return f", only by {' and '.join(users)} ones" if 0 < len(users) <= 2 else ""


def of_record(args: argparse.Namespace, typed: set[str]) -> str:
    """Which typed option contradicts one that nobody has typed, and where that one is from."""
    how = build_parser().spelling(sorted(typed & SELECTORS)[0])
    source = f"--preset {args.preset}" if args.preset else f"--config {args.config}"
    return f", which {how} asks for: it is one of {source}"


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


def check_pairs(args: Settings, typed: set[str], new: set[str]) -> None:
    """Options that are read with others only, or not with them."""
    parser = build_parser()
    if args.dataset == "random" and (args.C_tab or len(args.size_tab or []) < 2):
        raise UserError("--dataset random is for dense networks and needs --size_tab")
    if args.dataset != "folder" and {"image_size", "grey"} & typed:
        raise UserError(f"--image-size and --grey are for --dataset folder, not {args.dataset}")
    if args.augment and args.persistent:
        raise UserError(
            "--augment changes every batch, --persistent needs batches that never do: "
            "--no-persistent"
        )
    if args.resume and new - FREE_WHEN_RESUMING:
        wrong = ", ".join(parser.spelling(name) for name in sorted(new - FREE_WHEN_RESUMING))
        raise UserError(f"--resume goes on with the recorded options: {wrong} cannot be changed")
    swept = {option_name(sweep[0]) for sweep in args.sweep or []}
    if args.action == "evaluate" and args.load is None and "load" not in swept:
        raise UserError("--action evaluate needs --load FILE, the checkpoint to test")
    if args.action == "train" and args.load is not None:
        raise UserError(
            "--load is for evaluate, plotcurves, receipe, audit; --resume goes on training"
        )
    if args.load and typed & args.system.structure:
        wrong = ", ".join(parser.spelling(name) for name in sorted(typed & args.system.structure))
        raise UserError(f"{wrong} cannot be changed: --load takes the network of the checkpoint")


def check_sweeps(sweeps: list[list[str]]) -> None:
    """Every sweep names an option that a run has, and values; the runs check what they are."""
    parser = build_parser()
    known = {option_name(text): a.dest for text, a in parser._option_string_actions.items()}
    names = [known.get(option_name(option), "help") for option, *_ in sweeps]
    for name, (option, *values) in zip(names, sweeps, strict=True):
        if option_name(option) in ("seed", "seeds"):
            raise UserError(f"--sweep {option}: seeds are run by --trials N, from --seed on")
        if name in NOT_SWEPT:
            can_be = {text: dest for text, dest in known.items() if dest not in NOT_SWEPT}
            near = hint(option_name(option), can_be) or "--help lists the options"
            raise UserError(f"--sweep {option}: there is no such option to sweep: {near}")
        if not values:
            raise UserError(f"--sweep {option} needs the values to run with")
        if names.count(name) > 1:
            raise UserError(f"--sweep {option} is given twice: give all its values at once")


def check_many(args: Settings, typed: set[str]) -> None:
    """How many runs are done at a time, and where, fits together."""
    asked = [name for name in OF_MANY_RUNS if name in typed]
    if asked and not is_many(args):
        raise UserError(
            f"--{asked[0]} is for many runs: add --trials N or --sweep OPTION V1 V2 ..."
        )
    if args.export and is_many(args):
        raise UserError("--export writes the weights of one run: leave --trials and --sweep out")
    kept = sorted({"results_dir", "name", "note"} & typed)
    if args.action == "evaluate" and kept and not is_many(args):
        how = build_parser().spelling(kept[0])
        raise UserError(f"{how} is not used by --action evaluate, which prints its result")
    most = max(MOST_JOBS, JOBS_PER_CORE * (os.cpu_count() or 1))
    if args.jobs > most:
        raise UserError(
            f"--jobs {args.jobs}: this machine has {os.cpu_count()} cores, {most} at most"
        )
    n_runs = args.trials * math.prod(len(sweep) - 1 for sweep in args.sweep or [])
    if n_runs > MOST_RUNS:
        raise UserError(f"--trials and --sweep ask for {n_runs} runs, {MOST_RUNS} are the most")
    drawn = args.dataset == "random" or args.system.starts_anywhere(args)
    if args.trials > 1 and args.action == "evaluate" and not drawn:
        raise UserError(
            "--trials needs something that differs by seed: an evaluation of a loaded network "
            "is the same with every one"
        )
    if args.backend == "dask" and args.scheduler is None:
        raise UserError("--backend dask needs --scheduler ADDRESS, as `dask scheduler` prints it")
    if args.backend != "dask" and args.scheduler is not None:
        raise UserError("--scheduler is for --backend dask")
    if args.backend == "dask" and "jobs" in typed:
        raise UserError(
            "--jobs is for --backend processes: a Dask cluster does a run per worker at a time"
        )


def check_solver(args: Settings, typed: set[str]) -> None:
    """The options of a solver are read by it, and it can serve the network."""
    if ACTIONS[args.action].every_solver:
        if args.system.restless and {"omega", "max_sweeps"} & typed:
            raise UserError(f"--omega and --max-sweeps are for relaxing: {args.system.restless}")
        return
    if args.solver == "relax":
        if args.system.restless:
            raise UserError(f"--solver relax: {args.system.restless}")
        if "tol" in typed and not args.tol:
            raise UserError("--tol 0: --solver relax needs a tolerance above 0")
        if "T" in typed:
            raise UserError("--T is not used by --solver relax, which ends when the network rests")
        if "compile" in typed:
            raise UserError("--compile hands the steps of --solver step to torch.compile")
    for name in ("omega", "max_sweeps"):
        if name in typed and args.solver == "step":
            why = "which --T and --Kmax ask for" if "solver" not in typed else "as it says"
            how = build_parser().spelling(name)
            raise UserError(f"{how} is not used by --solver step, {why}")
    if args.solver == "step" and args.compile and args.tol and {"compile", "tol"} & typed:
        raise UserError("--compile is not used with --tol, whose phases are watched step by step")


def check_nudge(args: Settings, typed: set[str]) -> None:
    """The network can be nudged so, and what says how is read."""
    if not ACTIONS[args.action].teaches or not args.system.has_phases:
        return
    parser = build_parser()
    if args.nudge not in args.system.nudges:
        raise UserError(
            f"--nudge {args.nudge} is not for --training-method {args.training_method}: it takes "
            f"{' or '.join(args.system.nudges)}"
        )
    unread = {"beta", "beta_sign"} | (set() if args.benchmark else {"Kmax"})
    if args.nudge == "linear" and typed & unread:
        how = parser.spelling(sorted(typed & unread)[0])
        raise UserError(f"{how} is not used by --nudge linear, which has no second phase")
    held = {"coupled", "contrastive"} & set(methods_of(args))
    if held and args.loss == "cross-entropy":
        raise UserError(
            f"--loss cross-entropy has an output that is no part of the state: --training-method "
            f"{held.pop()} has nothing to hold"
        )
    if args.nudge == "continual" and args.beta_sign == "both":
        raise UserError(
            "--nudge continual changes the weights in its one nudged phase: --beta-sign both, "
            "which compares two, is not for it"
        )
    lowest = -abs(args.beta) if args.beta_sign == "both" else args.beta
    relaxed = args.solver == "relax" and args.nudge == "finite" and "EP" in methods_of(args)
    if relaxed and args.system.free_output and args.loss == "squared" and lowest <= -1:
        raise UserError(
            f"--beta {args.beta:g}: a nudge of {lowest:g} drives the output of a "
            f"{args.system.name} network away for ever, there is no equilibrium to relax to: "
            "stay above -1, with --beta-sign both below 1"
        )


def check_noise(args: Settings) -> None:
    """What asks for a state at rest is not asked for where noise moves all states."""
    if not args.state_noise or "state_noise" not in ACTIONS[args.action].reads:
        return
    how = f"--state-noise {args.state_noise:g}"
    if ACTIONS[args.action].teaches and args.nudge == "linear":
        raise UserError(
            f"{how}: --nudge linear is the response of a state at rest, and nothing rests: take "
            "--nudge finite"
        )
    if args.tol or args.stop:
        name = "--tol" if args.tol else "--stop"
        raise UserError(
            f"{how}: {name} ends a phase when it rests, and nothing rests: leave it out, phases "
            "have --max-sweeps sweeps or --T steps"
        )
    if args.compile:
        raise UserError(
            f"{how} comes between the steps that --compile joins: leave one of them out"
        )


def check_rule(args: Settings) -> None:
    """The network can be taught so."""
    strange = set(methods_of(args)) - set(args.system.rules)
    if ACTIONS[args.action].teaches and strange:
        raise UserError(
            f"--training-method {strange.pop()} is not for the {args.system.name} network, which "
            f"learns by {', '.join(args.system.rules)}"
        )


def check_phases(args: Settings) -> None:
    """BPTT goes back no more steps than there are."""
    goes_back = "BPTT" in methods_of(args) or ACTIONS[args.action].compares
    if goes_back and args.solver == "step" and args.Kmax > args.T:
        raise UserError(
            f"--Kmax {args.Kmax} is more than --T {args.T}: BPTT goes back Kmax of T steps"
        )


def check_optimizer(args: Settings, typed: set[str], new: set[str]) -> None:
    """What an optimiser and a schedule are told is read by them."""
    if "momentum" in typed and args.optimizer not in ("momentum", "nesterov"):
        raise UserError(
            f"--momentum is not used by --optimizer {args.optimizer}, only by momentum and nesterov"
        )
    if args.schedule == "step" and not args.halve_every:
        raise UserError("--schedule step needs --halve-every EPOCHS")
    if "halve_every" in typed and args.halve_every and args.schedule != "step":
        raise UserError(f"--halve-every is not used by --schedule {args.schedule}, only by step")
    if args.warmup > (args.epochs or 1):
        raise UserError(
            f"--warmup {args.warmup:g} is longer than the training, {args.epochs} epoch(s)"
        )
    if args.resume and "epochs" in new and args.schedule == "cosine":
        raise UserError(
            "--resume: --epochs cannot be changed with --schedule cosine, which ends at the last"
        )


def is_many(args: Settings) -> bool:
    """The command stands for runs in a common folder."""
    planned = bool(args.resume and (args.resume / PLAN).exists())
    return planned or bool(args.sweep or args.trials > 1 or ACTIONS[args.action].defaults)


def methods_of(args: Settings) -> list[str]:
    """The methods a run trains by."""
    return args.system.compared if args.benchmark else [args.training_method]


# What follows from the data set -----------------------------------------------------------------


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
