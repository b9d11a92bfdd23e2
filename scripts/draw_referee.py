"""Take what a comparison has found into docs/: numbers, figures, and the tables of the page.

    python scripts/draw_referee.py results/compare_digits/cpu-.../Runs-1
    python scripts/draw_referee.py results/compare_mnist/cpu-.../Runs-1 nudges
    python scripts/draw_referee.py                       # the tables again, from docs/referee/*.csv

A data set has a file docs/referee/<name>.csv, or <name>_<option>.csv if an option was swept, and a
comparison its figures docs/referee/<names>_*.png. A comparison of other contestants than the
referee's has the name that is typed behind it instead. No number of the tables of docs/referee.md,
docs/noise.md and docs/rules.md is typed by hand.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from drawing.reading import read_table  # noqa: E402
from report.page import markdown_row  # noqa: E402

PLACE = ROOT / "docs" / "referee"
PAGES = tuple(ROOT / "docs" / f"{name}.md" for name in ("referee", "noise", "rules"))
FIGURES = ("cost", "curves", "swept")
COLUMNS = (  # of comparison.csv, with their titles and decimals
    ("test_error", "test error (%)", 2),
    ("train_error", "training error (%)", 2),
    ("epochs", "epochs", 0),
    ("epochs_to_error", "epochs to {to_error} %", 1),
    ("products", "passes per sample", 1),
    ("seconds", "seconds", 1),
    ("stored_values", "stored values", 0),
    ("parameters", "parameters", 0),
    ("cosine_start", "cosine, start", 3),
    ("cosine_end", "cosine, end", 3),
)


def refuse(why: str) -> NoReturn:
    print(f"draw_referee: error: {why}", file=sys.stderr)
    sys.exit(2)


def take(folder: Path, called: str = "") -> None:
    """Copy the numbers of a comparison, a file per data set, and its figures.

    called: what the files of a comparison on one data set are named instead of after that.
    """
    rows = read_table(folder / "comparison.csv")
    if not rows:
        refuse(f"{folder} holds no comparison.csv: name the folder Runs-<n> of a comparison")
    PLACE.mkdir(exist_ok=True)
    names, options = list(dict.fromkeys(row["dataset"] for row in rows)), swept(rows[0])
    if called and len(names) > 1:
        refuse(f"{folder} compares on {len(names)} data sets: {called!r} can name one only")
    for name in names:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if row["dataset"] == name)
        path = PLACE / f"{'_'.join([called or name, *options])}.csv"
        path.write_text(text.getvalue(), encoding="utf-8")
    for figure in FIGURES:
        path = folder / f"comparison_{figure}.png"
        if path.exists():
            parts = [*([called] if called else names), *(options or [figure])]
            shutil.copy(path, PLACE / f"{'_'.join(parts)}.png")


def swept(row: dict[str, str]) -> list[str]:
    """The options that were swept, of a line of comparison.csv."""
    columns = list(row)
    return columns[columns.index("rule") + 1 : columns.index("n")]


def table(path: Path) -> str:
    """The table of a file, in its order; then who has failed, and why."""
    rows = [row for row in read_table(path) if row["test_error"]]
    lines = errors_over(rows, *swept(rows[0])) if swept(rows[0]) else all_columns(rows)
    text = [markdown_row(lines[0]), "|" + "---|" * len(lines[0]), *map(markdown_row, lines[1:])]
    for row in read_table(path):
        if row["failed"]:
            text += ["", f"{row['contestant']} has failed: {row['failed']}."]
    return "\n".join(text) + "\n"


def all_columns(rows: list[dict[str, str]]) -> list[list[str]]:
    """A line for each contestant, a column for each measure that there is."""
    shown = [column for column in COLUMNS if any(row[column[0]] for row in rows)]
    titles = [title.format(to_error=rows[0].get("to_error") or 5) for _, title, _ in shown]
    lines = [["contestant", "settings of", "n", *titles]]
    for row in rows:
        cells = [cell(row, name, digits) for name, _, digits in shown]
        lines.append([row["contestant"], row["source"], row["n"], *cells])
    return lines


def errors_over(rows: list[dict[str, str]], option: str) -> list[list[str]]:
    """Test errors: a line for each contestant, a column for each value of the option."""
    found = {(row["contestant"], row[option]): cell(row, "test_error", 1) for row in rows}
    names, values = (list(dict.fromkeys(x)) for x in zip(*found, strict=True))
    lines = [["test error (%)", *(f"`--{option.replace('_', '-')} {value}`" for value in values)]]
    return lines + [[name, *(found.get((name, v), "-") for v in values)] for name in names]


def cell(row: dict[str, str], name: str, digits: int) -> str:
    """Mean ± standard deviation of a measure, and of how many seeds if not of all."""
    if not row[name]:
        return "never" if name == "epochs_to_error" else "-"
    text = f"{float(row[name]):,.{digits}f}"
    if row.get(f"{name}_sd"):
        text += f" ± {float(row[f'{name}_sd']):,.{digits}f}"
    few = name == "epochs_to_error" and row["reached"] != row["n"]
    return f"{text} ({row['reached']} of {row['n']})" if few else text


def redrawn(page: str) -> str:
    """A page with the tables that docs/referee/*.csv stand for, each between its two marks."""

    def put(found: re.Match) -> str:
        path = PLACE / f"{found[1]}.csv"
        link = f"All columns: [{found[1]}.csv](referee/{found[1]}.csv)."
        text = f"{table(path)}\n{link}\n" if path.exists() else NOT_YET
        return f"<!-- {found[1]} -->\n\n{text}\n<!-- end -->"

    return re.sub(r"<!-- ([\w-]+) -->\n.*?<!-- end -->", put, page, flags=re.S)


NOT_YET = "Not measured yet.\n"

if __name__ == "__main__":
    if sys.argv[1:]:
        take(Path(sys.argv[1]), *sys.argv[2:3])
    for page in PAGES:
        page.write_text(redrawn(page.read_text(encoding="utf-8")), encoding="utf-8")
