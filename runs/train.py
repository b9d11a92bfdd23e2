"""A training from the command line: begun in a folder of its own, or gone on with."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from signal import SIGINT
from typing import Any

import numpy as np
import torch

from commandLine.settings import Settings, methods_of, recorded_options
from datasets import Dataset
from errors import LostProcess, RunError, Stopped
from networks.schedule import Schedule
from parallel import ALONE, Team, crowded, form_team, join
from records.checkpoint import read_checkpoint
from records.lock import sole_process
from records.names import CHECKPOINT
from records.record import record_resume
from records.scalars import Scalars
from runFolder import RunFolder
from runs.log import keep_in
from runs.place import draw_figures, new_run, shows_progress, warn_of_changes
from runs.setup import build_network, device_of, load_data, schedule_of, warn_of_memory
from runs.words import how_to_go_on, last_words, search_in_words
from systems.base import PHASES, System
from teaching.checks import cautions_of
from teaching.epoch import epoch_order
from teaching.train import train


def run_training(args: Settings, argv: list[str], place: Path | None = None) -> None:
    args, data = load_data(args)
    stored = (RunFolder(args.resume).last_checkpoint() or {}) if args.resume else {}
    stored = stored.get("weights", {})  # which say how the networks are built
    nets = {method: build_network(args, data, stored.get(method)) for method in methods_of(args)}
    team = form_team(device_of(args))
    if not team.alone and (args.stop or (args.tol and args.solver == "step")):
        raise RunError(
            "--tol and --stop end a phase by the states of the whole batch, of which each process "
            "of torchrun has a part: leave them out"
        )
    for net in nets.values():
        join(net, team)
    if args.resume:
        run = RunFolder(args.resume)
    else:
        title = f"{' and '.join(nets)} training"
        run = RunFolder(team.first_path(lambda: new_run(args, argv, title, place).path))
    draws = place is None and not team.rank and not args.no_figures
    with contextlib.nullcontext() if team.rank else sole_process(run.path):
        if args.resume and not team.rank:
            keep_in(run.path)
            warn_of_changes(args, run)
        rows = train_in(run, nets, data, args, argv, team, draws)
    if not team.rank:
        print(last_words(run.path, rows, args, data, team, draws), flush=True)


def train_in(
    run: RunFolder,
    nets: dict,
    data: Dataset,
    args: Settings,
    argv: list[str],
    team: Team,
    draws: bool,
) -> list[dict[str, Any]]:
    """Begin the training that a folder is for, or go on with it; return the rows of metrics.csv."""
    checkpoint = run.last_checkpoint() if args.resume else None
    if args.resume and checkpoint is None and not team.rank:  # killed early: it begins again
        run.copy_plotting()
    options = recorded_options(args)
    if args.resume and not team.rank:
        record_resume(run.path, options, ["main.py", *argv])
    print(f"results in {run.path}", flush=True)
    try:
        schedule = schedule_of(args, next(iter(nets.values())))
        unread = args.system.rule_leaves_out.get(args.training_method, frozenset())
        if args.system.has_phases and not unread >= PHASES:  # a rule without phases reads none
            print(search_in_words(schedule, next(iter(nets.values()))), flush=True)
        warn_of_memory(nets, data, schedule)
        for caution in [*cautions_of(schedule), *args.system.cautions(args, data)]:
            print(f"warning: {caution}", file=sys.stderr, flush=True)
        if checkpoint and is_finished(checkpoint, args):
            print(f"this run is finished: --epochs N, more than {args.epochs}, goes on with it")
        if args.device_label < 0 and (note := crowded(torch.get_num_threads())):
            print(note, file=sys.stderr, flush=True)
        watch = None
        if args.tensorboard and not team.rank:
            watch = Scalars(run.path, checkpoint["progress"]["epoch"] if checkpoint else 1).add
        quiet = not shows_progress(args)
        rows = train(nets, data, schedule, run, options, checkpoint, quiet, watch)
        if not team.rank:
            finish(args.system, nets, data, schedule, run)
            if args.cosine_samples:
                measure_cosines(run, nets, data, args, schedule)
        return rows
    except Stopped as stop:
        raise Stopped(stop.signal_number, f"{stop}; {how_to_go_on(run.path, team)}") from None
    except KeyboardInterrupt:  # a second one, which does not wait until all is saved
        draws = False
        raise Stopped(SIGINT, f"stopped at once; {how_to_go_on(run.path, team)}") from None
    except LostProcess as error:
        draws = False  # torchrun is about to end this process, too
        raise RunError(f"{error}; {how_to_go_on(run.path, team)}") from None
    finally:
        if draws:
            draw_figures(run.path)


def is_finished(checkpoint: dict[str, Any], args: Settings) -> bool:
    """Whether nothing is left to do of a training."""
    progress = checkpoint["progress"]
    over = set(methods_of(args)) <= set(progress.get("over", []))
    return over or progress["epoch"] > args.epochs


def finish(system: System, nets: dict, data: Dataset, schedule: Schedule, run: RunFolder) -> None:
    """Add to the results what the trained networks of a system are like, and print it."""
    for net in nets.values():
        join(net, ALONE)
    history = read_checkpoint(run.path / CHECKPOINT)["progress"]["history"]
    found, text = system.finish(nets, data, schedule, history)
    one, _ = data.train.batch(slice(0, 1), schedule.dtype)
    for method, net in nets.items():
        found[f"{method}_parameters"] = np.array(net.n_parameters)
        found[f"{method}_stored_values"] = np.array(
            system.stored_values(net, method, one, schedule)
        )
    run.write_arrays(run.read_arrays() | found)
    if text:
        run.write_text("report.txt", text)
        print(text, end="", flush=True)


def measure_cosines(
    run: RunFolder, nets: dict, data: Dataset, args: Settings, schedule: Schedule
) -> None:
    """Add to the results, and print, how far the first and the last update follow the gradient."""
    split = data.train
    order = epoch_order(args.seed, 0, len(split), split.x.device)[: args.cosine_samples]
    batch = split.batch(order, schedule.dtype)
    found = {}
    for method, net in nets.items():
        pair = [
            args.system.cosine(one, method, *batch, schedule)
            for one in (build_network(args, data), net)
        ]
        if not np.isnan(pair).all():
            found[f"{method}_gradient_cosine"] = np.array(pair)
            print(
                f"{method}: cosine of its update to the exact gradient {pair[0]:.4f} at the start, "
                f"{pair[1]:.4f} at the end, of {len(order)} samples",
                flush=True,
            )
    run.write_arrays(run.read_arrays() | found)
