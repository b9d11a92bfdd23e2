"""Networks measured without being taught: EP beside BPTT, signs, the audit of the update."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch

from commandLine.settings import Settings
from datasets import Split
from gradientMatching import (
    compare_processes,
    free_trajectory,
    means_of,
    receipe,
    settling,
    table_of,
    tight_search,
)
from networks.audit import audit
from runs.evaluate import loaded_networks
from runs.place import draw_figures, new_run, part_of, shows_progress
from runs.setup import load_data, schedule_of
from runs.words import report_of, where_next
from solvers import Search
from teaching.epoch import epoch_order


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
