"""What must hold between options: a mistake is a UserError of one line."""

from __future__ import annotations

import argparse
import math
import os

from commandLine.actions import ACTIONS, ALWAYS
from commandLine.settings import NOT_RECORDED, Settings, build_parser, is_many, methods_of, owned
from errors import UserError
from manual.spelling import hint
from options.parser import option_name
from systems import SYSTEMS, system_of
from systems.base import System

FREE_WHEN_RESUMING = {"resume", "epochs", "data_dir", "device_label", "threads", "quiet"}
FREE_WHEN_RESUMING |= {"name", "note", "no_figures"}
FREE_WHEN_RESUMING |= {"tensorboard", "jobs", "backend", "scheduler", "dry_run"}
OF_MANY_RUNS = ("jobs", "backend", "scheduler")
MOST_JOBS, JOBS_PER_CORE, MOST_RUNS = 64, 8, 100_000
SELECTORS = frozenset().union(*(system.selectors for system in SYSTEMS))
NOT_SWEPT = NOT_RECORDED | {"seed", "help", "results_dir"}


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
