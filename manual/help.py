"""What --help prints: examples and the names of all options, or a group or an option in full."""

from __future__ import annotations

import argparse
import shutil
import textwrap

from manual.spelling import hint

WIDTH = 100  # columns at most
USAGE = "python main.py [--action ACTION] [options]"
EXAMPLES = (
    ("--dataset digits --epochs 10", "train by EP, no download"),
    ("--list-presets", "published experiments"),
    ("--preset P-1h --seed 1", "one of them, with another seed"),
    ("--preset wine_5layer_swni --trials 20 --jobs 2", "20 seeds, two at a time"),
    ("--action plotcurves --toymodel --beta 0.01", "EP's updates on BPTT's gradients"),
)
OFTEN = ("action", "preset", "list_presets", "dataset", "data_dir", "train_samples", "epochs")
OFTEN += ("size_tab", "lr_tab", "training_method", "benchmark", "beta", "trials", "sweep")
OFTEN += ("seed", "resume", "load", "device_label", "help")
INDENT = 28  # of what is said about an option


def width() -> int:
    return min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)


def entry(name: str, text: str) -> str:
    """A line or some: a name, and what it is, in a column of its own."""
    start = f"  {name}".ljust(INDENT)
    lines = wrapped(text, " " * INDENT)
    return start + lines[INDENT:] if len(start) == INDENT else f"{start}\n{lines}"


def wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def first_words(action: argparse.Action) -> str:
    """What an option is, in short: its help up to the first semicolon; of few values, these."""
    text = (action.help or "").split(";")[0].replace("%%", "%")
    if action.choices and not action.metavar:
        text = f"{text.split(':')[0]}: {', '.join(map(str, action.choices))}"
    return text


def how_typed(action: argparse.Action) -> str:
    """An option as it is typed, with a word for its value."""
    name = action.option_strings[-1 if action.dest == "help" else 0]
    value = action.metavar or ("VALUE" if action.choices else action.dest.upper())
    if isinstance(value, tuple):
        value = " ".join(value)
    if action.nargs == 0:
        return name
    value = f"[{value}]" if action.nargs in ("?", "*") else value
    return f"{name} {value}" + " ..." * (action.nargs == "+" and "..." not in value)


def overview(parser: argparse.ArgumentParser) -> str:
    """What --help alone prints, within two screens."""
    lines = [f"usage: {USAGE}", "", wrapped(parser.description), "", "examples:"]
    longest = max(len(words) for words, _ in EXAMPLES)
    lines += [f"  python main.py {words:<{longest}}  {about}" for words, about in EXAMPLES]
    options = {a.dest: a for a in parser._actions if a.option_strings}
    lines += ["", "often used:"]
    lines += [entry(how_typed(options[n]), first_words(options[n])) for n in OFTEN if n in options]
    lines += ["", "all options, by group:"]
    for group in groups_of(parser):
        names = [how_typed(a).split()[0] for a in group._group_actions if a.option_strings]
        lines.append(entry(group.title, " ".join(names)))
    lines += ["", "in full: --help GROUP, --help OPTION, --help all"]
    return "\n".join(lines) + "\n"


def groups_of(parser: argparse.ArgumentParser) -> list[argparse._ArgumentGroup]:
    """The groups that options are in; argparse's own are empty but for --help."""
    return [g for g in parser._action_groups[2:] if g._group_actions]


def about(parser: argparse.ArgumentParser, word: str) -> str:
    """A group, an option, or with `all` everything, in full.

    Raises:
        ValueError: there is no such group or option; the message says what there is.
    """
    if word == "all":
        return parser.format_help()
    groups = {group.title.lower(): group for group in groups_of(parser)}
    options = {text.lstrip("-").replace("_", "-"): a for text, a in spelt(parser)}
    name = word.lstrip("-").replace("_", "-")
    formatter = parser._get_formatter()
    if word.lower() in groups:
        group = groups[word.lower()]
        formatter.start_section(group.title)
        formatter.add_text(group.description)
        formatter.add_arguments(group._group_actions)
        formatter.end_section()
    elif name in options:
        formatter.add_argument(options[name])
    else:
        near = hint(word, [*groups, *options]) or f"the groups are {', '.join(groups)}"
        raise ValueError(f"there is no group and no option {word!r}: {near}")
    return formatter.format_help().rstrip() + "\n"


def spelt(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.Action]]:
    """Every spelling of every option."""
    return [(text, action) for action in parser._actions for text in action.option_strings]


class Help(argparse.Action):
    """`--help` prints an overview, `--help WORDS` what they name; both end the program."""

    def __init__(self, option_strings, dest, help=None, metavar="WHAT", **_) -> None:
        super().__init__(
            option_strings, dest, "*", default=argparse.SUPPRESS, help=help, metavar=metavar
        )

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        try:
            print(about(parser, " ".join(values)) if values else overview(parser), end="")
        except ValueError as error:
            parser.error(f"--help: {error}")
        parser.exit()
