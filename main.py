"""Train networks without backpropagation, from the command line.

    python main.py --dataset digits --epochs 10                    # energy-based EP, no download
    python main.py --preset P-1h                                   # a published experiment
    python main.py --action evaluate --load results/.../checkpoint.pt

Every run gets its own folder with the options, the numbers, a checkpoint and the figures.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch

import plotFunctions
from commandLine import (
    build_parser,
    fit_to_data,
    methods_of,
    parse,
    recorded_options,
    system,
)
from datasets import DataError, Dataset, Split, load_dataset, random_dataset
from gradientMatching import compare_processes, free_trajectory, receipe, settling, table_of
from netClasses import EPcont, EPdisc, EquilibriumNetwork, convEP, toyEPcont
from netFunctions import (
    Schedule,
    Stopped,
    TrainingError,
    epoch_order,
    evaluate,
    train,
)
from presets import PRESETS
from runFolder import RunError, RunFolder, createHyperparameterfile, createPath, read_checkpoint


def build_network(args: argparse.Namespace, shape: tuple[int, ...]) -> EquilibriumNetwork:
    """The network that the options describe, with the weights that --seed stands for."""
    common = {"activation": args.activation_function, "dt": args.dt, "seed": args.seed}
    builders = {
        "energy-based": lambda: EPcont(
            args.size_tab, clamp=not args.no_clamp, exact_output=args.exact_output, **common
        ),
        "toy": lambda: toyEPcont(args.size_tab, clamp=not args.no_clamp, **common),
        "prototypical": lambda: EPdisc(args.size_tab, **common),
        "convolutional": lambda: convEP(
            args.size_tab,
            args.C_tab,
            shape[1:],
            Fconv=args.Fconv,
            Fpool=args.Fpool,
            padding=args.padding,
            **common,
        ),
    }
    try:
        net = builders[system(args)]().to(device_of(args), getattr(torch, args.dtype))
    except ValueError as error:  # sizes that do not fit each other
        raise RunError(str(error)) from None
    if args.compile:
        net.compile_steps()
    return net


def device_of(args: argparse.Namespace) -> torch.device:
    return torch.device("cpu" if args.device_label < 0 else f"cuda:{args.device_label}")


def schedule_of(args: argparse.Namespace) -> Schedule:
    return Schedule(
        T=args.T,
        Kmax=args.Kmax,
        beta=args.beta,
        lr_tab=args.lr_tab,
        batch_size=args.batch_size,
        test_batch_size=args.test_batch_size,
        epochs=args.epochs,
        tol=args.tol,
        seed=args.seed,
        dtype=getattr(torch, args.dtype),
    )


def model_name(args: argparse.Namespace) -> str:
    """Folder of the runs of a kind of network, such as ep_disc_2hidden."""
    if args.C_tab:
        return f"ep_conv_{len(args.C_tab) - 1}conv_{len(args.size_tab)}fc"
    kind = {"energy-based": "ep_cont", "toy": "ep_toy", "prototypical": "ep_disc"}[system(args)]
    return f"{kind}_{len(args.size_tab) - 2}hidden"


def load_data(args: argparse.Namespace) -> Dataset:
    """The data set, with the options that depend on its sizes settled and checked."""
    device = device_of(args)
    if args.dataset == "random":
        data = random_dataset(args.size_tab[-1], args.size_tab[0], args.seed, device)
    else:
        data = load_dataset(args.dataset, args.data_dir, device, args.image_size, args.grey)
    fit_to_data(build_parser(), args, data.shape, data.n_classes)
    return data


def run_training(args: argparse.Namespace, argv: list[str]) -> None:
    checkpoint = read_checkpoint(args.resume / "checkpoint.pt") if args.resume else None
    data = load_data(args)
    nets = {method: build_network(args, data.shape) for method in methods_of(args)}
    title = f"{' and '.join(nets)} training"
    run = RunFolder(args.resume) if args.resume else new_run(args, argv, title)
    options = recorded_options(args)
    print(f"results in {run.path}", flush=True)
    try:
        train(nets, data, schedule_of(args), run, options, checkpoint, not shows_progress(args))
    except Stopped as stop:
        command = shlex.join(["python", "main.py", "--resume", str(run.path)])
        raise Stopped(stop.signal_number, f"{stop}; go on with: {command}") from None
    finally:
        draw_figures(run.path)


def draw_figures(path: Path) -> None:
    """Draw what a folder has data for; a figure that fails costs nobody the numbers."""
    try:
        for figure in plotFunctions.plot_folder(path):
            print(f"figure {figure}")
    except (ImportError, OSError) as error:
        print(f"warning: no figures ({error}); draw them later with", file=sys.stderr)
        print(f"  python {path / 'plotFunctions.py'}", file=sys.stderr)


def new_run(args: argparse.Namespace, argv: list[str], title: str) -> RunFolder:
    """Take a folder and write down what is going to be run."""
    run = RunFolder(createPath(args.results_dir, model_name(args), device_name(args)))
    title = f"{title}, {system(args)} network, {args.dataset}"
    createHyperparameterfile(run.path, title, recorded_options(args), ["main.py", *argv])
    run.copy_plotting()
    return run


def loaded_networks(args: argparse.Namespace, data: Dataset) -> dict[str, EquilibriumNetwork]:
    """The networks of a checkpoint by method, or without --load one with initial weights."""
    if not args.load:
        return {"initial weights": build_network(args, data.shape)}
    nets = {}
    for method, weights in read_checkpoint(args.load)["weights"].items():
        nets[method] = build_network(args, data.shape)
        try:
            nets[method].load_state_dict(weights)
        except RuntimeError:
            raise RunError(f"{args.load} holds a network of other sizes than asked for") from None
    return nets


def run_evaluation(args: argparse.Namespace, argv: list[str]) -> None:
    data = load_data(args)
    for method, net in loaded_networks(args, data).items():
        result = evaluate(net, data.test, schedule_of(args))
        print(
            f"{method}: test error {result.error:.2f} % of {len(data.test)} samples, "
            f"loss {result.loss:.4f}, free phase residual {result.residual:.1e}"
        )


def run_curves(args: argparse.Namespace, argv: list[str]) -> None:
    data = load_data(args)
    for name, net in loaded_networks(args, data).items():
        run = new_run(args, argv, f"EP against BPTT step by step, {name}")
        print(f"results in {run.path}", flush=True)
        started = time.perf_counter()
        arrays, report = match_gradients(net, data.train, args, not shows_progress(args))
        report += f"{time.perf_counter() - started:.1f} s\n"
        run.write_arrays(arrays)
        run.write_text("curves.txt", report)
        print(report, end="", flush=True)
        draw_figures(run.path)


def match_gradients(net, split: Split, args, quiet: bool) -> tuple[dict, str]:
    """The arrays of plotcurves for one mini-batch, and what they say in words."""
    order = epoch_order(args.seed, 0, len(split), split.x.device)
    data, target = split.batch(order[: args.batch_size], getattr(torch, args.dtype))
    trajectory = free_trajectory(net, data, args.T, args.Kmax, args.tol, quiet)
    n_curves = None if args.save_full else args.curves
    arrays = compare_processes(net, data, target, trajectory, args.beta, n_curves, args.seed, quiet)
    sentence = settling(net, trajectory, args.beta).sentence(args.T)
    arrays["settling"] = np.array(sentence)
    return arrays, f"{sentence}\n{table_of(arrays)}\n"


def run_receipe(args: argparse.Namespace, argv: list[str]) -> None:
    data = load_data(args)
    split, schedule = data.train, schedule_of(args)
    order = epoch_order(args.seed, 0, len(split), split.x.device)
    for name, net in loaded_networks(args, data).items():
        found = receipe(
            net,
            split,
            args.T,
            args.Kmax,
            args.beta,
            args.batch_size,
            args.batches,
            schedule.dtype,
            order,
            quiet=not shows_progress(args),
        )
        run = new_run(args, argv, f"sign agreement of EP and BPTT, {name}")
        text = f"{found.table()}\n{found.advice(args.T, args.Kmax)}\n"
        run.write_text("receipe.txt", text)
        run.write_arrays(found.arrays())
        print(f"{text}results in {run.path}")


ACTIONS = {
    "train": run_training,
    "evaluate": run_evaluation,
    "plotcurves": run_curves,
    "receipe": run_receipe,
    "recipe": run_receipe,
}


def device_name(args: argparse.Namespace) -> str:
    return "cpu" if args.device_label < 0 else f"cuda{args.device_label}"


def shows_progress(args: argparse.Namespace) -> bool:
    return not args.quiet and sys.stderr.isatty()


def main(argv: list[str]) -> int:
    args = parse(argv)
    try:
        if args.device_label >= torch.cuda.device_count():
            raise RunError(
                f"--device-label {args.device_label}: this machine has "
                f"{torch.cuda.device_count()} CUDA device(s), counted from 0; -1 is the CPU"
            )
        if args.threads:
            torch.set_num_threads(args.threads)
        if args.preset:
            print(f"preset {args.preset}: {PRESETS[args.preset].options}")
        ACTIONS[args.action](args, argv)
    except (DataError, RunError, TrainingError) as error:
        print(f"main.py: error: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
