"""The actions: what each does, and which of the shared options it reads.

An option that an action does not read is refused where it is typed. What an action computes is in
runs/one.py, which needs torch; this is only declared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

DATA = {"dataset", "data_dir", "image_size", "grey", "normalise"}
MACHINE = {"device_label", "threads", "dtype"}
SEARCH = {"solver", "omega", "tol", "max_sweeps"}
MANY = {"trials", "sweep", "jobs", "backend", "scheduler"}
FOLDER = {"results_dir", "name", "note"}  # of the result
ALWAYS = frozenset(  # they say what is done, or have no effect where there is nothing to show
    {"action", "preset", "list_presets", "print_completion", "config", "dry_run", "quiet"}
)


class Action(NamedTuple):
    """One of the things that the program does."""

    name: str  # as --action calls it
    about: str
    reads: frozenset[str]  # shared options; a system may leave some out
    teaches: bool = False  # reads what a system reads while it learns
    compares: bool = False  # EP with BPTT, step by step
    of_systems: bool = True  # reads the options of systems, too
    of_phases: bool = False  # of equilibrium networks only
    every_solver: bool = False  # does what it does by each of them
    defaults: dict[str, Any] = {}  # of shared options, of an action that plans many runs itself


TRAIN = Action(
    "train",
    "teach a network",
    frozenset(
        DATA
        | MACHINE
        | MANY
        | SEARCH
        | {"train_samples", "batch_size", "test_batch_size", "epochs", "lr_tab", "training_method"}
        | {
            "minutes",
            "cosine_samples",
            "state_noise",
            "weight_noise",
            "augment",
            "benchmark",
            "train_error",
            "dt",
            "T",
            "Kmax",
            "beta",
            "beta_sign",
            "nudge",
        }
        | {"persistent", "seed", "resume", "compile", "tensorboard", "no_figures"}
        | {"test_samples", "test_every"}
        | FOLDER
    ),
    teaches=True,
)
EVALUATE = Action(
    "evaluate",
    "test a checkpoint",
    frozenset(
        DATA
        | MACHINE
        | MANY
        | SEARCH
        | {"test_batch_size", "test_samples", "dt", "T", "persistent", "seed", "load", "compile"}
        | {"export", "state_noise", "weight_noise"}
        | FOLDER
    ),
)
COMPARED = DATA | MACHINE | MANY | {"train_samples", "batch_size", "dt", "T", "Kmax", "beta"}
COMPARED |= {"seed", "load", "compile"} | SEARCH | FOLDER
PLOTCURVES = Action(
    "plotcurves",
    "EP's updates beside BPTT's gradients, step by step",
    frozenset(COMPARED | {"curves", "save_full", "no_figures"}),
    compares=True,
)
RECEIPE = Action(
    "receipe",
    "share of synapses where the signs of both agree",
    frozenset(COMPARED | {"batches"}),
    compares=True,
)
AUDIT = Action(
    "audit",
    "the updates of every nudge and solver beside the exact gradient at the equilibrium",
    frozenset((COMPARED | {"no_figures"}) - {"solver", "compile"}),
    of_phases=True,
    every_solver=True,
)
REPORT = Action(
    "report",
    "all results beside the papers' figures",
    frozenset({"folders", "results_dir"}),
    of_systems=False,
)
FILTERS = frozenset({"dataset", "preset", "name"})  # of a list
COMPARE = Action(
    "compare",
    "learning rules on the same data, each a line of a file: a table, figures and a page",
    frozenset(
        {"contestants", "datasets", "to_error", "data_dir", "train_samples", "test_samples"}
        | {"epochs", "minutes", "cosine_samples", "seed", "resume", "no_figures", "dry_run"}
        | MACHINE - {"dtype"}
        | MANY
        | FOLDER
    ),
    of_systems=False,
    defaults={"trials": 3, "epochs": 5, "cosine_samples": 10},
)
LIST = Action(
    "list",
    "the runs there are, newest first, without torch",
    frozenset({"folders", "results_dir", "json"}) | FILTERS,
    of_systems=False,
)
ACTIONS = {
    one.name: one for one in (TRAIN, PLOTCURVES, RECEIPE, AUDIT, EVALUATE, COMPARE, REPORT, LIST)
}
ACTIONS["recipe"] = RECEIPE
ABOUT = {name: one.about if name == one.name else "" for name, one in ACTIONS.items()}
