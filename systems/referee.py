"""Who takes part in the comparison of learning rules: a line of referee.csv each.

A line has a name, the rule it is of (what tells its colour), the data sets it is for (all, if left
out), the options of main.py that make it, and where those settings are from. In the options {in}
and {out} stand for the inputs and the outputs of a data set, {channels} for those of its images.
"""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from errors import RunError
from manual.spelling import hint

FILE = Path(__file__).with_name("referee.csv")
COLUMNS = ("name", "rule", "datasets", "options", "source")
NEEDED = ("name", "rule", "options")
SIZES = ("in", "out", "channels")  # of a data set, which options may name in braces


class Contestant(NamedTuple):
    """One of those that are compared."""

    name: str
    rule: str  # of one colour
    datasets: tuple[str, ...]  # that it is for; none: all
    options: str  # words of main.py
    source: str  # of its settings
    where: str  # file and line

    def is_for(self, dataset: str) -> bool:
        return not self.datasets or dataset in self.datasets

    def words(self, sizes: dict[str, int]) -> list[str]:
        """Its options for a data set of these `SIZES`.

        Raises:
            RunError: braces name something else, or a size that the data do not have.
        """

        def size(found: re.Match) -> str:
            if found[1] not in sizes:
                known = ", ".join(f"{{{name}}}" for name in sizes)
                raise RunError(f"{found[0]} is no size of this data set, which has {known}")
            return str(sizes[found[1]])

        return shlex.split(re.sub(r"\{(\w*)\}", size, self.options))


def read_contestants(path: Path, names: tuple[str, ...]) -> list[Contestant]:
    """The contestants of a file.

    Args:
        names: of the data sets that there are.
    Raises:
        RunError: the file cannot be read, or a line says what cannot be.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise RunError(f"{path} cannot be read as contestants ({why})") from None
    check_columns(path, columns, rows)
    found = [contestant_of(row, f"{path}, line {number}", names) for number, row in rows]
    seen: dict[tuple[str, str], str] = {}
    for one in found:
        for dataset in one.datasets or names:
            if (one.name, dataset) in seen:
                raise RunError(
                    f"{one.where}: {one.name} is there already for {dataset}, in "
                    f"{seen[one.name, dataset].split(', ')[-1]}"
                )
            seen[one.name, dataset] = one.where
    return found


def check_columns(path: Path, columns: list[str], rows: list) -> None:
    """Raise RunError for a file without contestants, or with columns that nobody knows."""
    said = f"the columns of contestants are {', '.join(COLUMNS)}"
    for column in columns:
        if column not in COLUMNS:
            near = hint(column, COLUMNS)
            raise RunError(f"{path} has a column {column!r}: {f'{near}; ' if near else ''}{said}")
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        raise RunError(f"{path} has no column {missing[0]}: {said}")
    if not rows:
        raise RunError(f"{path} has no contestant: a line each, below {','.join(columns)}")


def contestant_of(row: dict, where: str, names: tuple[str, ...]) -> Contestant:
    """A line of the file."""
    if None in row or None in row.values():
        wrong = "more" if None in row else "fewer"
        raise RunError(f"{where} has {wrong} cells than columns: quote a cell that has a comma")
    row = {name: row.get(name, "").strip() for name in COLUMNS}
    for name in ("name", "rule"):
        if not row[name] or not row[name].isprintable():
            raise RunError(f"{where} has no {name}")
    datasets = tuple(row["datasets"].split())
    for name in datasets:
        if name not in names:
            raise RunError(
                f"{where}: there is no data set {name!r}: {hint(name, names) or ', '.join(names)}"
            )
    try:
        shlex.split(row["options"])
    except ValueError as error:
        raise RunError(f"{where}: its options cannot be taken apart ({error})") from None
    return Contestant(row["name"], row["rule"], datasets, row["options"], row["source"], where)
