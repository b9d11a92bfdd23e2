"""How words become options: the parser, its flags and its help."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, NoReturn

from manual.help import width
from manual.spelling import hint

NEGATIVE = re.compile(r"-\.?\d|-(inf|infinity|nan)$", re.IGNORECASE)  # no option begins so
MANY_CHOICES = 100  # characters of names, above which they are not all listed


class Parser(argparse.ArgumentParser):
    """Errors are one line; `--a_b` and `--a-b` are the same option; -1e-3 is a number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._negative_number_matcher = NEGATIVE

    source = ""  # the file whose options are being read, if one is

    def error(self, message: str) -> NoReturn:
        where, self.source = f"{self.source}: " if self.source else "", ""
        sys.stderr.write(f"main.py: error: {where}{message}\n")
        sys.exit(2)

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            names = [word.partition("=")[0] for word in rest if word.startswith("-")] or rest
            near = hint(names[0], self._option_string_actions) or "--help lists the options"
            self.error(f"unrecognized arguments: {' '.join(names)}: {near}")
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        near, listed = hint(str(value), choices), ", ".join(choices)
        if not near and len(listed) > MANY_CHOICES and action.dest == "preset":
            near = f"--list-presets shows all {len(choices)}"
        what = near or f"choose from {listed}"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}: {what}")

    def same_spelling(self, argv: list[str]) -> list[str]:
        known = {name.replace("_", "-"): name for name in self._option_string_actions}
        words = []
        for word in argv:
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                name = known.get(name.replace("_", "-"), name)
            words.append(name + equals + value)
        return words

    def group(self, title: str, about: str = "") -> argparse._ArgumentGroup | None:
        """A new group of options, or None if one of this title is there."""
        if any(group.title == title for group in self._action_groups):
            return None
        return self.add_argument_group(title, about or None)

    def spelling(self, dest: str) -> str:
        """How the option that sets `args.dest` is typed; empty if there is none."""
        names = (a.option_strings[0] for a in self._actions if a.dest == dest and a.option_strings)
        return next(names, "")


def option_name(text: str) -> str:
    """An option as it is named in a table: lr_tab for --lr-tab."""
    return text.lstrip("-").replace("-", "_")


class Flag(argparse.Action):
    """An option that is on or off: `--benchmark` and `--no-benchmark`.

    opposite: what takes it back, if it is not `--no-` and its name.
    """

    def __init__(self, option_strings, dest, default=False, help=None, opposite="") -> None:
        self.opposite = opposite or f"--no-{option_strings[0].removeprefix('--')}"
        names = [*option_strings, self.opposite]
        super().__init__(names, dest, nargs=0, default=default, help=help)

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, option_string != self.opposite)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one, within the columns of a page."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=width())

    def _get_help_string(self, action: argparse.Action) -> str:
        empty = action.default is None or action.default is False
        return action.help if empty else super()._get_help_string(action)
