"""A network of one's own, from a file: `--network FILE.py:Class`, with all that layered EP has."""

from __future__ import annotations

import argparse
import types
from pathlib import Path
from typing import Any

from errors import UserError
from systems.base import OPTIMISING
from systems.layered import Layered

GIVEN = ("initHidden", "add_contrast")  # by the class, beside what `steps` and `drives` ask for


def file_and_class(text: str) -> str:
    """FILE.py:Class with the whole path of the file, so that a run goes on from anywhere."""
    file, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier() or not file.endswith(".py"):
        raise argparse.ArgumentTypeError(f"{text!r} is not FILE.py:Class")
    return f"{Path(file).expanduser().resolve()}:{name}"


class Own(Layered):
    name = "own"
    title = "Networks of one's own"
    reference = "no paper"
    paper_key = "own"
    selectors = frozenset({"network"})
    owns = frozenset({"network", "size_tab"}) | OPTIMISING
    structure = frozenset({"network", "size_tab"})
    defaults = {"solver": "step"}

    def add_options(self, parser):
        group = parser.group("own network")
        group.add_argument(
            "--network",
            type=file_and_class,
            metavar="FILE.py:CLASS",
            help="a subclass of EquilibriumNetwork, made by CLASS(size_tab, dt=dt, seed=seed)",
        )

    def is_meant(self, args):
        return args.network is not None

    def settle(self, args, data):
        kind = class_of(args.network)
        if args.solver == "relax" and not gives(kind, "settled_layer"):
            raise UserError(f"--solver relax: {args.network} gives no settled_layer")
        return super().settle(args, data)

    def with_rates(self, args, data, sizes, n_rates):
        """How many rates there are is known when the network is built."""
        return super().with_rates(args, data, sizes, len(args.lr_tab or []) or n_rates)

    def build(self, args, data):
        try:
            net = class_of(args.network)(args.size_tab, dt=args.dt, seed=args.seed)
        except TypeError as error:
            raise UserError(
                f"--network {args.network} cannot be made by CLASS(size_tab, dt=dt, seed=seed): "
                f"{error}"
            ) from None
        rates = args.lr_tab or [0.0]
        if args.action == "train" and len(rates) not in (1, net.n_rates):
            raise UserError(
                f"--lr_tab has {len(rates)} values, this network has {net.n_rates} synapse groups"
            )
        return net

    def folder_name(self, args):
        return f"{args.network.rpartition(':')[2]}_{len(args.size_tab) - 2}hidden"

    def source(self, args):
        return Path(args.network.rpartition(":")[0])


def class_of(network: str) -> type:
    """The class that FILE.py:Class names.

    Raises:
        UserError: there is none, or it is no network that can learn.
    """
    from netClasses import EquilibriumNetwork

    file, _, name = network.rpartition(":")
    kind = getattr(module_of(Path(file)), name, None)
    if kind is None:
        raise UserError(f"--network: {file} has no class {name}")
    if not isinstance(kind, type) or not issubclass(kind, EquilibriumNetwork):
        raise UserError(f"--network {network} is no subclass of EquilibriumNetwork (netClasses.py)")
    drives = gives(kind, "drive") or (gives(kind, "constants") and gives(kind, "wire"))
    steps = gives(kind, "stepper") or (gives(kind, "goals") and gives(kind, "move"))
    missing = [what for what in GIVEN if not gives(kind, what)]
    missing += [] if drives else ["constants and wire"]
    missing += [] if steps else ["goals and move"]
    if missing:
        raise UserError(f"--network {network} does not define {', '.join(missing)}")
    return kind


def gives(kind: type, name: str) -> bool:
    """Whether a class has a method of its own, or of a class between it and the base."""
    from netClasses import EquilibriumNetwork

    return getattr(kind, name) is not getattr(EquilibriumNetwork, name)


def module_of(path: Path) -> Any:
    """What a file of Python defines, run once more; no bytecode is written beside it."""
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    except FileNotFoundError:
        raise UserError(f"--network: there is no file {path}") from None
    except Exception as error:  # whatever a file of Python can do
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"--network: {path} cannot be imported ({why})") from None
    return module


OWN = Own()
