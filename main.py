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
from pathlib import Path

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
from datasets import DataError, Dataset, load_dataset
from netClasses import EPcont, EPdisc, EquilibriumNetwork, convEP, toyEPcont
from netFunctions import Schedule, Stopped, TrainingError, evaluate, train
from presets import PRESETS
from runFolder import RunError, RunFolder, createHyperparameterfile, createPath, read_checkpoint


def build_network(args: argparse.Namespace, shape: tuple[int, ...]) -> EquilibriumNetwork:
    """The network that the options describe, with the weights that --seed stands for."""
    common = {"activation": args.activation_function, "dt": args.dt, "seed": args.seed}
    builders = {
        "energy-based": lambda: EPcont(args.size_tab, clamp=not args.no_clamp, **common),
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
    net = builders[system(args)]().to(device_of(args), getattr(torch, args.dtype))
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
    return load_dataset(
        args.dataset, args.data_dir, device_of(args), image_size=args.image_size, grey=args.grey
    )


def run_training(args: argparse.Namespace, argv: list[str]) -> None:
    checkpoint = read_checkpoint(args.resume / "checkpoint.pt") if args.resume else None
    data = load_data(args)
    fit_to_data(build_parser(), args, data.shape, data.n_classes)
    nets = {method: build_network(args, data.shape) for method in methods_of(args)}
    options = recorded_options(args)
    path = args.resume or createPath(args.results_dir, model_name(args), device_name(args))
    run = RunFolder(path)
    if not args.resume:
        title = f"{' and '.join(nets)} training, {system(args)} network, {args.dataset}"
        createHyperparameterfile(path, title, options, ["main.py", *argv])
        run.copy_plotting()
    print(f"results in {path}", flush=True)
    try:
        train(nets, data, schedule_of(args), run, options, checkpoint, args.quiet)
    except Stopped as stop:
        command = shlex.join(["python", "main.py", "--resume", str(path)])
        raise Stopped(stop.signal_number, f"{stop}; go on with: {command}") from None
    finally:
        draw_figures(path)


def draw_figures(path: Path) -> None:
    """Draw what a folder has data for; a figure that fails costs nobody the numbers."""
    try:
        for figure in plotFunctions.plot_folder(path):
            print(f"figure {figure}")
    except (ImportError, OSError) as error:
        print(f"warning: no figures ({error}); draw them later with", file=sys.stderr)
        print(f"  python {path / 'plotFunctions.py'}", file=sys.stderr)


def run_evaluation(args: argparse.Namespace, argv: list[str]) -> None:
    checkpoint = read_checkpoint(args.load)
    data = load_data(args)
    fit_to_data(build_parser(), args, data.shape, data.n_classes)
    for method, weights in checkpoint["weights"].items():
        net = build_network(args, data.shape)
        net.load_state_dict(weights)
        result = evaluate(net, data.test, schedule_of(args))
        print(
            f"{method}: test error {result.error:.2f} % of {len(data.test)} samples, "
            f"loss {result.loss:.4f}, free phase residual {result.residual:.1e}"
        )


ACTIONS = {"train": run_training, "evaluate": run_evaluation}


def device_name(args: argparse.Namespace) -> str:
    return "cpu" if args.device_label < 0 else f"cuda{args.device_label}"


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
    except (DataError, RunError, TrainingError, ValueError) as error:
        print(f"main.py: error: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("stopped; --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
