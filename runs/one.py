"""One run: the data and the network that the options describe, and what is done with them.

args = parse(["--dataset", "digits", "--epochs", "3"])
prepare(args)
ACTIONS[args.action](args, argv)  # an action's third argument: its folder, of one run among many
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import shlex
import sys
import time
from pathlib import Path
from signal import SIGINT
from typing import Any

import numpy as np
import torch

import plotFunctions
from commandLine import Settings, fitted, methods_of, recorded_options
from datasets import (
    Dataset,
    Split,
    hold_out,
    load_dataset,
    normalised,
    one_hot,
    random_dataset,
    some_of,
)
from errors import LostProcess, RunError, Stopped, lacks_memory
from gradientMatching import (
    compare_processes,
    free_trajectory,
    means_of,
    receipe,
    settling,
    table_of,
    tight_search,
)
from netClasses import EquilibriumNetwork
from networks.audit import audit
from networks.base import Schedule, most_sweeps
from networks.noise import Noise
from parallel import ALONE, Team, crowded, form_team, join, threads_for
from process import first_of_all, launched, local_rank
from report.tables import write_report
from runFolder import (
    RunFolder,
    Scalars,
    createHyperparameterfile,
    createPath,
    read_checkpoint,
    record_resume,
    sole_process,
)
from runs.exported import check_target, read_network, write_export
from runs.listing import run_list
from runs.log import keep_in
from solvers import Search
from systems.base import PHASES, System
from teaching.checks import cautions_of
from teaching.epoch import epoch_order
from teaching.evaluation import Particles, are_states, evaluate
from teaching.train import train
from teaching.words import number

STEP_OF_TEST = 2e9  # most multiplications, in one direction: half a second of one core
STEP_ON_GPU = 100 * STEP_OF_TEST
LEAST_TESTED = 16  # samples at a time: fewer gain nothing
OWN_NETWORK = "network.py"  # in a folder: the file that defines a network of the user's


def build_network(args: Settings, data: Dataset, state: dict | None = None) -> EquilibriumNetwork:
    """The network that the options describe, with the weights that --seed stands for.

    Args:
        state: what is going to be loaded into it, which then says what its structure is.
    Raises:
        RunError: sizes that do not fit each other, or the memory.
    """
    system = args.system
    check_memory(4 * len(methods_of(args)) * system.n_weights(args, data), "weights")
    check_memory(8 * system.n_states(args, data), "states")
    try:
        net = system.rebuild(args, data, state) if state else system.build(args, data)
        net = net.to(device_of(args), getattr(torch, args.dtype))
    except ValueError as error:
        raise RunError(str(error)) from None
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise RunError("there is not enough memory for this network: make it smaller") from None
    net.noise = Noise(args.state_noise, args.weight_noise, args.seed)
    if args.compile:
        net.compile_steps()
    return net


def check_memory(needed: float, what: str) -> None:
    """Raise RunError if what a network keeps, in bytes, is more than this machine has."""
    there = all_memory()
    if there is not None and needed > there:
        fewer = "make it smaller" if what == "weights" else "make it smaller, or --train-samples"
        raise RunError(
            f"the {what} of this network take {needed / 2**30:.3g} GiB, this machine has "
            f"{there / 2**30:.3g} GiB of memory: {fewer}"
        )


def device_of(args: Settings) -> torch.device:
    """The device asked for; of the processes of torchrun each one has a GPU of its own."""
    if args.device_label < 0:
        return torch.device("cpu")
    return torch.device(f"cuda:{local_rank() if launched() else args.device_label}")


def schedule_of(args: Settings, net: EquilibriumNetwork) -> Schedule:
    rates = args.lr_tab or []
    if len(rates) == 1:
        rates = rates * net.n_rates
    whole = sys.maxsize  # batch size of directed networks, which are taught all patterns at once
    return Schedule(
        T=args.T or 0,  # of a relaxed phase nobody counts the steps
        Kmax=args.Kmax,
        beta=args.beta,
        lr_tab=rates,
        batch_size=args.batch_size or whole,
        test_batch_size=samples_at_a_time(args, net),
        epochs=args.epochs,
        tol=args.tol,
        seed=args.seed,
        dtype=getattr(torch, args.dtype),
        random_sign=args.beta_sign == "random",
        both_signs=args.beta_sign == "both",
        nudge=args.nudge or "finite",
        persistent=bool(args.persistent),
        measure_training=args.train_error == "full",
        test_every=args.test_every,
        halve_every=args.halve_every if args.schedule == "step" else 0,
        cosine=args.schedule == "cosine",
        warmup=args.warmup,
        optimizer=args.optimizer,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        patience=args.patience or 0,
        minutes=args.minutes or 0.0,
        augment=bool(args.augment),
        solver=args.solver or "step",
        omega=args.omega or 0.0,
        max_sweeps=args.max_sweeps or 0,
    )


def samples_at_a_time(args: Settings, net: EquilibriumNetwork) -> int:
    """Samples that are tested at a time: as many as asked for, or even parts of that where a step

    with so many would keep a wish to stop waiting. No answer depends on the others of its batch,
    but for the steps that end when all are at rest, of which nothing is parted.
    """
    size, stepped = args.test_batch_size, args.tol and args.solver == "step"
    if not size or stepped:
        return size or sys.maxsize
    work = STEP_OF_TEST if args.device_label < 0 else STEP_ON_GPU
    most = max(LEAST_TESTED, int(work / max(1, net.multiplications)))
    return math.ceil(size / math.ceil(size / most))


def load_data(args: Settings) -> tuple[Settings, Dataset]:
    """The data set, and the settings with what follows from its sizes."""
    device = device_of(args)
    if args.dataset == "random":
        data = random_dataset(args.size_tab[-1], args.size_tab[0], args.seed, device)
    else:
        data = load_dataset(args.dataset, args.data_dir, device, args.image_size, args.grey)
    if data.note:
        print(data.note, flush=True)
    if args.augment and len(data.shape) != 3:
        raise RunError(f"--augment {args.augment} is for images, {args.dataset} has none")
    if args.normalise:
        data = normalised(data)
    if args.one_hot and data.train.task == "bits":
        data = one_hot(data)
    if args.train_samples:
        data = some_of(data, args.train_samples, args.seed)
    if args.test_samples:
        data = some_of(data, args.test_samples, args.seed, "test")
    if args.test_every > 1 and data.test is data.train:
        raise RunError(f"--test-every: testing on {data.name}, on what is learnt, takes no time")
    if args.validation and args.validation != "test" and args.action == "train":
        data = hold_out(data, float(args.validation), args.seed)
    return with_threads(fitted(args, data), data), data


def with_threads(args: Settings, data: Dataset) -> Settings:
    """Set the number of threads; 0, torch's choice, is left as it is."""
    if not args.threads and args.device_label < 0:
        args = args.changed(threads=threads_for(args.system.multiplications(args, data)))
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


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


def search_in_words(schedule: Schedule, net: EquilibriumNetwork) -> str:
    """How the phases of a training are run, in a line."""
    each = " for each sign of beta" if schedule.both_signs else ""
    each += ", which the weights follow" if schedule.nudge == "continual" else ""
    each += f", noise of {net.noise.state:g} in every one" if net.noise.state else ""
    linear = "then the linear response to a nudge"
    if schedule.solver == "step":
        if schedule.nudge == "linear":
            return f"phases: {schedule.T} free steps, {linear}"
        return f"phases: {schedule.T} free and {schedule.Kmax} nudged steps{each}"
    plan = net.relaxing
    tol, omega = schedule.tol or plan.tol, schedule.omega or plan.omega
    least, most = plan.nudged_sweeps
    nudged = f"{schedule.Kmax} steps"
    if (schedule.nudged or plan.nudged) == "relax" and schedule.nudge == "finite":
        fixed = least == most or net.noise.state
        nudged = f"{least} sweeps" if fixed else f"at least {least} sweeps"
    if net.noise.state:
        return (
            f"phases: {most_sweeps(net, schedule)} free sweeps (omega {omega:g}) and {nudged} "
            f"under the nudge{each}; below: mean (worst), free + nudged"
        )
    return (
        f"phases: free ones relaxed to {tol:g} by at most {most_sweeps(net, schedule)} "
        f"sweeps (omega {omega:g}), "
        + (linear if schedule.nudge == "linear" else f"nudged ones {nudged}{each}")
        + "; below: mean (worst), free + nudged"
    )


def how_to_go_on(folder: Path, team: Team = ALONE) -> str:
    start = "python" if team.alone else f"torchrun --nproc-per-node {team.size}"
    return f"go on with: {start} {shlex.join(['main.py', '--resume', str(folder)])}"


def last_words(
    folder: Path, rows: list[dict], args: Settings, data: Dataset, team: Team, drawn: bool
) -> str:
    """How well a training has ended, where its figures are, and what can be typed next."""
    lines, early = [], False
    for method in methods_of(args):
        own = [row for row in rows if row["method"] == method]
        tested = [row for row in own if row["test_error"] is not None]
        last, best = tested[-1], min(tested, key=lambda row: row["test_error"])
        errors = [number(row["test_error"], data.unit).strip() for row in (last, best)]
        lines.append(
            f"{method}: test error {errors[0]} after epoch {last['epoch']}, the best was "
            f"{errors[1]} after epoch {best['epoch']}"
        )
        early = early or own[-1]["epoch"] < args.epochs
    more = f" --epochs {2 * args.epochs}"
    again = how_to_go_on(folder, team).removeprefix("go on with: ") + more
    if early or args.schedule == "cosine":  # of its own accord: it has nothing to go on for
        load = ["main.py", "--action", "evaluate", "--load", str(folder / "checkpoint.pt")]
        again = f"python {shlex.join(load)}"
    return "\n".join([*lines, where_next(folder, drawn, again)])


def where_next(folder: Path, drawn: bool, command: str) -> str:
    """The end of a run: where its results are, and what can be typed next."""
    return f"{'figures' if drawn else 'results'} in {folder}; next: {command}"


def report_of(args: Settings) -> str:
    """The command that sets all results beside the papers'."""
    elsewhere = [] if args.results_dir == Path("results") else [str(args.results_dir)]
    return f"python {shlex.join(['main.py', '--action', 'report', *elsewhere])}"


def finish(system: System, nets: dict, data: Dataset, schedule: Schedule, run: RunFolder) -> None:
    """Add to the results what the trained networks of a system are like, and print it."""
    for net in nets.values():
        join(net, ALONE)
    history = read_checkpoint(run.path / "checkpoint.pt")["progress"]["history"]
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


def warn_of_memory(nets: dict, data: Dataset, schedule: Schedule) -> None:
    """Say how much the stored free states take, if it is more than half of the free memory."""
    if not schedule.persistent:
        return
    one, _ = data.train.batch(slice(0, 1), schedule.dtype)
    n_bytes = 0
    for net in nets.values():
        with torch.no_grad():
            s = net.initHidden(net.drive(one))
        n_bytes += sum(v.nbytes for v in s) * (len(data.train) + len(data.test))
    free = free_memory(data.train.x.device)
    if free is not None and n_bytes > free / 2:
        print(
            f"warning: the persistent states take {n_bytes / 2**30:.2f} GiB, {free / 2**30:.2f} "
            "GiB of memory are free: --no-persistent does without them",
            file=sys.stderr,
            flush=True,
        )


def free_memory(device: torch.device) -> int | None:
    """Bytes free on the device, or None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def all_memory() -> int | None:
    """Bytes of memory of the machine, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def draw_figures(path: Path) -> None:
    """Draw what a folder has data for; a figure that fails costs nobody the numbers."""
    try:
        for figure in plotFunctions.plot_folder(path):
            print(f"figure {figure}")
    except ImportError as error:
        print(f"warning: no figures ({error}); draw them later with", file=sys.stderr)
        print(f"  python {path / 'plotFunctions.py'}", file=sys.stderr)


def new_run(
    args: Settings, argv: list[str], title: str, place: Path | None, part: str = ""
) -> RunFolder:
    """Take a folder and write down what is going to be run.

    Args:
        place: the folder of one run among many; None: the next free one of --results-dir.
        part: of one run among many, a folder inside its own.
    """
    if place is not None:
        run = RunFolder(place / part)
        if part:
            run.path.mkdir(exist_ok=True)
    else:
        run = RunFolder(createPath(args.results_dir, folder_of(args), device_name(args)))
    title = f"{title}, {args.system.name} network, {args.dataset}"
    createHyperparameterfile(
        run.path, title, recorded_options(args), ["main.py", *argv], args.system.name
    )
    run.copy_plotting()
    if source := args.system.source(args):
        run.write_text(OWN_NETWORK, source.read_text(encoding="utf-8"))
    keep_in(run.path)
    return run


def warn_of_changes(args: Settings, run: RunFolder) -> None:
    """Say if a network of the user's is not defined as it was when the run began."""
    source, kept = args.system.source(args), run.path / OWN_NETWORK
    if source and kept.exists() and kept.read_text("utf-8") != source.read_text("utf-8"):
        print(
            f"warning: {source} has changed since the run began, with {kept}",
            file=sys.stderr,
            flush=True,
        )


def loaded_networks(args: Settings, data: Dataset) -> dict[str, EquilibriumNetwork]:
    """The networks of a checkpoint by method, or without --load one with initial weights."""
    if not args.load:
        return {"initial weights": build_network(args, data)}
    state, nets = read_network(args.load), {}
    kept = list(state["weights"].items())
    kept += [
        (f"{method}, best epoch", weights) for method, weights in state.get("best", {}).items()
    ]
    for name, weights in kept:
        nets[name] = build_network(args, data, weights)
        if name.split(",")[0] not in nets[name].rules:
            raise RunError(f"{args.load} holds weights of {name}, no method of this network")
        try:
            nets[name].load_state_dict(weights)
        except RuntimeError:
            raise RunError(f"{args.load} holds a network of other sizes than asked for") from None
    return nets


def part_of(nets: dict, name: str) -> str:
    """The folder for one network of several that are loaded."""
    return name if len(nets) > 1 else ""


def stored_particles(args: Settings, data: Dataset, nets: dict) -> dict[str, Particles]:
    """By method, where the free phases of the test data ended; none for other data."""
    if not args.persistent:
        return {}
    found = {}
    for method, (_, layers) in read_network(args.load)["particles"].items():
        net, dtype = nets.get(method), getattr(torch, args.dtype)
        fits = layers and net is not None and are_states(layers, net, data.test, dtype)
        found[method] = Particles([v.to(device_of(args)) for v in layers] if fits else None)
    return found


def run_evaluation(args: Settings, argv: list[str], place: Path | None = None) -> None:
    if args.export:
        check_target(args.export)
    args, data = load_data(args)
    nets = loaded_networks(args, data)
    particles = stored_particles(args, data, nets)
    parts, errors = exported_parts(nets, particles) if args.export else {}, {}
    for name, net in nets.items():
        method, plan = name.split(",")[0], schedule_of(args, net)
        plan = dataclasses.replace(plan, epoch=args.epochs + 1)  # a start of its own
        print(args.system.describe(net, data, plan), end="")
        result = evaluate(net, data.test, plan, method, particles.get(method))
        errors[name] = result.error
        of = f" of {len(data.test)} samples" if data.unit == "%" else f" ({data.unit})"
        print(
            f"{name}: test error {number(result.error, data.unit).strip()}{of}, "
            f"loss {result.loss:.4f}"
            + "".join(
                f", {name} {value:.2g}"
                for name, value in result.measures.items()
                if isinstance(value, float)  # not one of each directed network
            )
        )
        if place is not None:
            title = f"evaluation of {args.load}, {name}"
            run = new_run(args, argv, title, place, part_of(nets, name))
            run.write_measures(name, {"test_error": result.error, "loss": result.loss})
    if args.export:
        write_export(args.export, recorded_options(args), errors, parts)
        print(f"weights in {args.export}")


def exported_parts(nets: dict, particles: dict[str, Particles]) -> dict[str, dict]:
    """What --export writes of networks: of each method the weights that are kept, and the states

    in which its free phases start.
    """
    parts: dict[str, dict] = {"weights": {}, "best": {}, "states": {}}
    for name, net in nets.items():
        method, _, of_best = name.partition(",")
        if of_best or f"{method}, best epoch" not in nets:
            parts["best" if of_best else "weights"][method] = net.state_dict()
        if method in particles and particles[method].layers:
            parts["states"][method] = [v.clone() for v in particles[method].layers]
    return parts


def run_curves(args: Settings, argv: list[str], place: Path | None = None) -> None:
    args, data = load_data(args)
    nets = loaded_networks(args, data)
    for name, net in nets.items():
        title = f"EP against BPTT step by step, {name}"
        run = new_run(args, argv, title, place, part_of(nets, name))
        print(f"results in {run.path}", flush=True)
        started = time.perf_counter()
        arrays, text = match_gradients(net.first(), data.train, args, not shows_progress(args))
        arrays |= args.system.more_curves(net, data, schedule_of(args, net), args.epochs)
        text += f"{time.perf_counter() - started:.1f} s\n"
        run.write_arrays(arrays)
        run.write_text("curves.txt", text)
        run.write_measures(name, means_of(arrays))
        print(text, end="", flush=True)
        draws = place is None and not args.no_figures
        if draws:
            draw_figures(run.path)
        print(where_next(run.path, draws, report_of(args)))


def search_of(args: Settings) -> Search:
    """How the free phase is searched for when EP is compared with BPTT."""
    if args.solver == "step":
        return Search(args.T, args.tol)
    return tight_search(getattr(torch, args.dtype), args.tol, args.omega, args.max_sweeps or 0)


def match_gradients(net, split: Split, args, quiet: bool) -> tuple[dict, str]:
    """The arrays of plotcurves for one mini-batch, and what they say in words."""
    order = epoch_order(args.seed, 0, len(split), split.x.device)
    size = args.batch_size or len(split)
    data, target = split.batch(order[:size], getattr(torch, args.dtype))
    trajectory = free_trajectory(net, data, args.T, args.Kmax, search_of(args), quiet)
    n_curves = None if args.save_full else args.curves
    arrays = compare_processes(net, data, target, trajectory, args.beta, n_curves, args.seed, quiet)
    settled = settling(net, trajectory, args.beta)
    sentence = settled.sentence(args.T)
    arrays |= settled.arrays() | {"settling": np.array(sentence)}
    return arrays, f"{sentence}\n{table_of(arrays)}\n"


def run_receipe(args: Settings, argv: list[str], place: Path | None = None) -> None:
    args, data = load_data(args)
    split = data.train
    order = epoch_order(args.seed, 0, len(split), split.x.device)
    nets = loaded_networks(args, data)
    for name, net in nets.items():
        found = receipe(
            net.first(),
            split,
            args.T,
            args.Kmax,
            args.beta,
            args.batch_size or len(split),
            args.batches,
            getattr(torch, args.dtype),
            order,
            quiet=not shows_progress(args),
            search=search_of(args),
        )
        title = f"sign agreement of EP and BPTT, {name}"
        run = new_run(args, argv, title, place, part_of(nets, name))
        text = f"{found.table()}\n{found.advice(args.T, args.Kmax)}\n"
        run.write_text("receipe.txt", text)
        run.write_arrays(found.arrays())
        run.write_measures(name, means_of(found.arrays()))
        print(text + where_next(run.path, False, report_of(args)))


def run_audit(args: Settings, argv: list[str], place: Path | None = None) -> None:
    args, data = load_data(args)
    split = data.train
    order = epoch_order(args.seed, 0, len(split), split.x.device)
    batch = split.batch(order[: args.batch_size or len(split)], getattr(torch, args.dtype))
    nets = loaded_networks(args, data)
    for name, net in nets.items():
        found = audit(net.first(), *batch, schedule_of(args, net))
        run = new_run(args, argv, f"audit of the update, {name}", place, part_of(nets, name))
        run.write_text("audit.txt", f"{found.text()}\n")
        run.write_text("audit.json", json.dumps(found.record(), indent=1) + "\n")
        run.write_arrays(found.arrays())
        run.write_measures(name, found.measures())
        print(f"{name}\n{found.text()}")
        draws = place is None and not args.no_figures
        if draws:
            draw_figures(run.path)
        print(where_next(run.path, draws, report_of(args)))


def folder_of(args: Settings) -> str:
    """Folder of the runs of a kind of network on a data set, such as ep_disc_2hidden_mnist."""
    name = args.dataset
    if name in ("file", "folder"):
        name = re.sub(r"[^\w.-]", "_", args.data_dir.stem) or name
    return f"{args.system.folder_name(args)}_{name}"


def device_name(args: Settings) -> str:
    return "cpu" if args.device_label < 0 else f"cuda{args.device_label}"


def shows_progress(args: Settings) -> bool:
    return not args.quiet and sys.stderr.isatty() and first_of_all()


def prepare(args: Settings) -> None:
    """Set up this process for a run."""
    if args.device_label >= torch.cuda.device_count():
        raise RunError(
            f"--device-label {args.device_label}: this machine has "
            f"{torch.cuda.device_count()} CUDA device(s), counted from 0; -1 is the CPU"
        )


def run_report(args: Settings, argv: list[str], place: Path | None = None) -> None:
    for path in write_report(args.folders or [args.results_dir]):
        print(path)


ACTIONS = {
    "train": run_training,
    "evaluate": run_evaluation,
    "plotcurves": run_curves,
    "receipe": run_receipe,
    "recipe": run_receipe,
    "audit": run_audit,
    "report": run_report,
    "list": run_list,
}
