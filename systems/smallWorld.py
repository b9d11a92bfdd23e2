"""EP with layer-skipping connections, Gammell et al. 2021: layered links, some of them rewired."""

from __future__ import annotations

from errors import UserError
from options.values import not_negative, share
from systems.base import COST, ERRORS, OPTIMISING, SEARCH, Measure, Preset
from systems.layered import RELAXED, Layered

MLFF, SW_INTRA, SW_NO_INTRA = "MLFF", "SW_intra", "SW_no_intra"
NETWORK_TYPES = (MLFF, SW_INTRA, SW_NO_INTRA)
PER_LAYER = "biases learn at the rate of their layer, not at 1"
BOTH = "nudged by beta and by -beta from the same free state, not by one of them at random"
BOTH_SIGNS = {5: "--beta 0.5 --beta-sign both", 3: "--beta 1 --beta-sign both"}
DEEP_5, DEEP_3 = [100] * 5, [500] * 3
IMAGES = (  # name, data set, hidden layers, kind, rates, (T, Kmax)
    ("mnist_3layer_mlff", "mnist", DEEP_3, MLFF, "0.02", (500, 8)),
    ("mnist_3layer_mlffpl", "mnist", DEEP_3, MLFF, "0.002 0.008 0.032 0.128", (500, 8)),
    ("mnist_3layer_swni", "mnist", DEEP_3, SW_NO_INTRA, "0.02", (500, 8)),
    ("mnist_5layer_mlff", "mnist", DEEP_5, MLFF, "0.015", (1000, 12)),
    ("mnist_5layer_swni", "mnist", DEEP_5, SW_NO_INTRA, "0.015", (1000, 12)),
    ("fmnist_5layer_mlff", "fashion-mnist", DEEP_5, MLFF, "0.015", (1000, 12)),
    ("fmnist_5layer_swni", "fashion-mnist", DEEP_5, SW_NO_INTRA, "0.015", (1000, 12)),
)
TABLES = tuple(
    (f"{data}_{depth}layer_{short}", data, [10] * depth, kind, "0.01", phases)
    for data in ("diabetes", "wine")
    for depth, phases in ((5, (1000, 12)), (8, (5000, 18)))
    for short, kind in (("mlff", MLFF), ("swni", SW_NO_INTRA))
)


def rows_of(name, dataset, hidden, kind, rates, phases, batch, epochs) -> dict[str, Preset]:
    """A run of the paper: as published, and of images under its plain name relaxed.

    kind: MLFF or SW_no_intra; phases: T and Kmax. The small tables take seconds as they are.
    """
    ends = {"wine": (3, 13), "diabetes": (1, 10)}.get(dataset, (10, 784))
    T, Kmax = phases
    skips = " --bypass-p 0.1" if kind == SW_NO_INTRA else ""
    sizes = " ".join(map(str, (ends[0], *hidden, ends[1])))
    differs = PER_LAYER if name.endswith("mlffpl") else ""

    def words(steps: str, nudge: str = "--beta 1") -> str:
        return (
            f"--dataset {dataset} --network-type {kind}{skips} --size_tab {sizes} --lr_tab {rates} "
            f"{steps} --Kmax {Kmax} {nudge} --batch-size {batch} --epochs {epochs}"
        )

    published = Preset(words(f"--T {T}"), (name,), differs)
    if dataset in ("wine", "diabetes"):
        return {name: published}
    why = "; ".join(filter(None, (RELAXED, BOTH, differs)))
    fast = Preset(words("--solver relax", BOTH_SIGNS[len(hidden)]), (name,), why)
    return {name: fast, f"{name}-published": published}


class SmallWorld(Layered):
    name = "small-world"
    title = "Equilibrium propagation with layer-skipping connections"
    reference = "Gammell et al. 2021"
    paper_key = "gammell"
    selectors = frozenset({"network_type"})
    owns = frozenset({"network_type", "bypass_p", "bypass_mag", "size_tab"}) | OPTIMISING
    structure = frozenset({"network_type", "bypass_p", "bypass_mag", "size_tab"})
    defaults = {"dt": 0.5, "beta_sign": "random", "persistent": True}
    measures = (
        *ERRORS,
        Measure("log_spread", "Spread of corrections, decades", "decades"),
        *SEARCH,
        *COST,
    )
    presets = {
        name: preset
        for rows, batch, epochs in ((IMAGES, 20, 100), (TABLES, 5, 10))
        for row in rows
        for name, preset in rows_of(*row, batch=batch, epochs=epochs).items()
    }

    def add_options(self, parser):
        group = parser.group("layer-skipping EP", "names as in Gammell et al. 2021")
        group.add_argument(
            "--network-type",
            choices=NETWORK_TYPES,
            help="MLFF: layered; SW_no_intra: layered links, some rewired to skip layers (the "
            "paper's small world); SW_intra: hidden layers fully connected inside, too",
        )
        group.add_argument(
            "--bypass-p", type=share, metavar="P", help="probability to rewire a link [p]; 0.1"
        )
        group.add_argument(
            "--bypass-mag",
            type=not_negative,
            metavar="A",
            help="new links start uniform in +-A [a]; left out: mean Glorot bound of adjacent "
            "layers",
        )

    def is_meant(self, args):
        return args.network_type is not None

    def defaults_of(self, args):
        return self.defaults | ({} if args.network_type == MLFF else {"bypass_p": 0.1})

    def check(self, args, typed):
        if args.network_type == MLFF and {"bypass_p", "bypass_mag"} & typed:
            raise UserError("--bypass-p and --bypass-mag are not used by --network-type MLFF")

    def settle(self, args, data):
        changes = super().settle(args, data)
        if args.network_type != MLFF and args.bypass_mag is None:
            from networks.topology import mean_glorot_bound

            changes["bypass_mag"] = mean_glorot_bound(changes["size_tab"])
        return changes

    def rates_for(self, n_rates):
        return [0.02]

    def build(self, args, data):
        from networks.smallWorld import SmallWorldEP
        from networks.topology import wire_up

        intra = args.network_type == SW_INTRA
        topology = wire_up(args.size_tab, args.bypass_p or 0.0, intra, args.seed)
        return SmallWorldEP(topology, args.bypass_mag, args.dt, args.seed)

    def rebuild(self, args, data, state):
        from networks.smallWorld import SmallWorldEP
        from networks.topology import Topology

        topology = Topology.from_state(args.size_tab, state)
        return SmallWorldEP(topology, args.bypass_mag, args.dt, args.seed)

    def n_weights(self, args, data):
        return sum(args.size_tab) ** 2  # who is linked to whom

    def folder_name(self, args):
        return f"ep_{args.network_type}_{len(args.size_tab) - 2}hidden"


SMALL_WORLD = SmallWorld()
