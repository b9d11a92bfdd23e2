"""What shared options are where they are left out and a system has no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHARED: dict[str, Any] = {  # defaults of shared options, where a system has no other
    "dataset": "mnist",
    "batch_size": 20,
    "test_batch_size": 1000,
    "epochs": 1,
    "dt": 1.0,
    "T": 100,
    "Kmax": 25,
    "beta": 1.0,
    "beta_sign": "fixed",
    "nudge": "finite",
    "persistent": False,
    "dtype": "float32",
}
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw")
ADAM_RATE = 0.001
ALIASES = {"eqprop": "EP"}  # of training methods
ENDLESS = 100_000  # epochs of a training that --minutes alone ends


def left_out(name: str, systems: Sequence[Any]) -> str:
    """The end of a help text: what an option is when it is left out, and of which systems else."""
    shared = SHARED[name]
    others = {s.name: s.defaults[name] for s in systems if s.defaults.get(name, shared) != shared}
    words = [f"{system} {in_words(value)}" for system, value in others.items()]
    return "left out: " + ", ".join([in_words(shared), *words])


def in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "all" if value is None else str(value)
