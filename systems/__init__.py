"""The published systems, one entry each, from the general to the special."""

from __future__ import annotations

import argparse

from systems.base import Preset, System
from systems.brainprop import BRAINPROP
from systems.directed import ASYMMETRIC, DEEP
from systems.layered import CONVOLUTIONAL, ENERGY_BASED, PROTOTYPICAL, TOY
from systems.own import OWN
from systems.smallWorld import SMALL_WORLD

SYSTEMS: tuple[System, ...] = (
    ENERGY_BASED,
    PROTOTYPICAL,
    CONVOLUTIONAL,
    TOY,
    SMALL_WORLD,
    OWN,
    DEEP,
    ASYMMETRIC,
    BRAINPROP,
)
PRESETS: dict[str, Preset] = {n: preset for s in SYSTEMS for n, preset in s.presets.items()}
METHODS: tuple[str, ...] = tuple(dict.fromkeys(rule for s in SYSTEMS for rule in s.rules))


def system_of(args: argparse.Namespace) -> System:
    """The system that options mean: the last one, the most special, that says so."""
    return next(system for system in reversed(SYSTEMS) if system.is_meant(args))


def partner_of(method: str) -> str:
    """The method that --benchmark sets beside this one, or nothing."""
    pair = next(s.compared for s in SYSTEMS if method in s.rules)
    return next((rule for rule in pair if rule != method and method in pair), "")
