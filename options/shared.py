"""The parser of all options: those that systems share, and the group that each system adds.

Defaults that depend on the system are settled in commandLine/; here they are only named. Nothing
here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manual.help import USAGE
from options.learning import (
    add_data,
    add_equilibrium,
    add_noise,
    add_optimisation,
    add_optimiser,
    add_phases,
)
from options.parser import HelpFormatter, Parser
from options.running import add_actions, add_comparison, add_many, add_matching, add_runs

GROUPS = (add_data, add_optimisation, add_optimiser, add_phases, add_equilibrium, add_noise)
LAST_GROUPS = (add_matching, add_many, add_comparison, add_runs)


def build_parser(systems: Sequence[Any], actions: dict[str, str]) -> Parser:
    """The parser of all options.

    Args:
        systems: those of systems/, which add their groups.
        actions: their names, and what each does.
    """
    parser = Parser(
        prog="main.py",
        usage=USAGE,
        add_help=False,
        description="Learning without backpropagation: train a network, get a result folder and "
        "the figures. Symbols in brackets are the papers'.",
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    add_actions(parser, systems, actions)
    for add_group in GROUPS:
        add_group(parser, systems)
    for system in systems:
        system.add_options(parser)
    for add_group in LAST_GROUPS:
        add_group(parser, systems)
    return parser
