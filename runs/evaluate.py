"""Networks of a checkpoint: loaded, tested, and written as a file of weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from commandLine.settings import Settings, recorded_options
from datasets import Dataset
from errors import RunError
from netClasses import EquilibriumNetwork
from records.exported import check_target, read_network, write_export
from runs.place import new_run, part_of
from runs.setup import build_network, device_of, load_data, schedule_of
from teaching.evaluation import Particles, are_states, evaluate
from teaching.words import number


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
