"""The report as a page and as markdown; what stands in it is decided in tables.py.

page.html.jinja is the page, made of parts.html.jinja and style.css: one file that loads nothing,
for the screen, a phone and paper.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from report.figures import FigureGroup

TEMPLATE = Path(__file__).resolve().parent / "page.html.jinja"
LEGEND = (
    "A row is an experiment: the same options, any seed. Mean ± standard deviation (denominator "
    "n - 1) over n seeds; of a seed that was run twice (repeated) the newest run counts. †: the "
    "figure is not confirmed, we hold it from memory. ‡: measured after fewer epochs than the "
    "paper's figure. -: no figure. In brackets: the source. A number leads to the folder it was "
    "measured in, an experiment to its folders and commands."
)


class Cell(NamedTuple):
    """What stands in a table."""

    text: str
    link: str = ""
    note: str = ""  # below it, smaller
    source: int = 0  # number of the section's source, 0: none
    words: bool = False  # a statement, which may be broken into lines


class Column(NamedTuple):
    title: str
    paired: bool = False  # the paper's figure, then ours


class Table(NamedTuple):
    columns: list[Column]
    rows: list[list[Cell]]  # the first cell is the row's heading


class Entry(NamedTuple):
    """A run in the list below a table."""

    text: str  # seed and results
    link: str
    about: str
    command: str


class RunList(NamedTuple):
    anchor: str
    label: str
    entries: list[Entry]


class Section(NamedTuple):
    anchor: str
    title: str
    paper: str
    said: str  # what the paper says of all its experiments
    table: Table | None
    sources: list[str]
    matching: Table | None  # EP's updates beside BPTT's gradients
    runs: list[RunList]
    figures: list[FigureGroup]
    omitted: list[FigureGroup]


class Page(NamedTuple):
    date: str
    folders: list[str]
    summary: str
    machines: list[tuple[str, str]]  # letter, what it is
    sections: list[Section]
    unfinished: list[tuple[Cell, str]]
    unreadable: list[tuple[Cell, str]]


def html_of(page: NamedTuple, template: Path = TEMPLATE, legend: str = LEGEND) -> str:
    """The page, as one file that loads nothing."""
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATE.parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template.name).render(page=page, legend=legend)


def markdown_of(page: Page) -> str:
    """The tables and lists as markdown; the figures are in the page."""
    lines = ["# Results beside the papers' figures", "", f"{page.date}. {page.summary}.", ""]
    lines += [LEGEND, "", "Machines:", ""]
    lines += [f"- {letter}: {plain(name)}" for letter, name in page.machines]
    for section in page.sections:
        lines += ["", f"## {section.title}", "", f"{section.paper}."]
        lines += ["", f"Of all experiments: {plain(section.said)}."] if section.said else []
        for table in (section.table, section.matching):
            lines += ["", *markdown_table(table)] if table else []
        lines += [""] + [f"{k}. {plain(text)}" for k, text in enumerate(section.sources, 1)]
        for runs in section.runs:
            lines += ["", f"**{plain(runs.label)}**", ""]
            lines += [
                f"- [{plain(one.text)}]({one.link}), {plain(one.about)}: {code(one.command)}"
                for one in runs.entries
            ]
    for title, problems in (("Unfinished", page.unfinished), ("Not read", page.unreadable)):
        lines += ["", f"## {title}", ""]
        lines += [f"- {markdown_cell(cell)}: {plain(why)}" for cell, why in problems] or ["None."]
    return "\n".join(lines) + "\n"


def markdown_table(table: Table) -> Iterator[str]:
    titles = [
        title
        for column in table.columns
        for title in ([f"{column.title}, paper", "here"] if column.paired else [column.title])
    ]
    yield markdown_row(titles)
    yield "|" + "---|" * len(titles)
    for row in table.rows:
        yield markdown_row(map(markdown_cell, row))


def markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def markdown_cell(cell: Cell) -> str:
    text = plain(cell.text)
    if cell.link and not cell.link.startswith("#"):
        text = f"[{text}]({cell.link})"
    text += f" [{cell.source}]" if cell.source else ""
    return f"{text} ({plain(cell.note)})" if cell.note else text


def code(text: str) -> str:
    """A command; one with signs of HTML or of code is written so that it stays a text."""
    return f"<code>{plain(text)}</code>" if set("<&`\n") & set(text) else f"`{text}`"


def plain(text: str) -> str:
    """Text that markdown leaves as it is, and that is no HTML."""
    for sign in "\\`*_[]|":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(html.escape(text, quote=False).split())
