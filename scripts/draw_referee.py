"""Take what a comparison has found into docs/: numbers, figures, and the tables of the page.

    python scripts/draw_referee.py results/compare_digits/cpu-.../Runs-1
    python scripts/draw_referee.py                       # the tables again, from docs/referee/*.csv

A data set has a file docs/referee/<name>.csv, a comparison its figures docs/referee/<names>_*.png.
No number of the tables of docs/referee.md is typed by hand.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from drawing.reading import read_table  # noqa: E402
from report.page import markdown_row  # noqa: E402

PLACE, PAGE = ROOT / "docs" / "referee", ROOT / "docs" / "referee.md"
FIGURES = ("comparison_cost", "comparison_curves", "comparison_swept")
COLUMNS = (  # of comparison.csv, with their titles and decimals
    ("test_error", "test error (%)", 2),
    ("train_error", "training error (%)", 2),
    ("epochs", "epochs", 0),
    ("epochs_to_error", "epochs to 5 %", 1),
    ("products", "passes per sample", 1),
    ("stored_values", "stored values", 0),
    ("parameters", "parameters", 0),
    ("cosine_start", "cosine, start", 3),
    ("cosine_end", "cosine, end", 3),
)


def take(folder: Path) -> None:
    """Copy the numbers of a comparison, a file per data set, and its figures."""
    rows = read_table(folder / "comparison.csv")
    if not rows:
        sys.exit(f"draw_referee: error: {folder} holds no comparison.csv")
    PLACE.mkdir(exist_ok=True)
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    for name in names:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if row["dataset"] == name)
        (PLACE / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8")
    for figure in FIGURES:
        if (folder / f"{figure}.png").exists():
            short = figure.removeprefix("comparison_")
            shutil.copy(folder / f"{figure}.png", PLACE / f"{'_'.join(names)}_{short}.png")


def table(path: Path) -> str:
    """The table of a data set, the best mean test error first; then who has failed, and why."""
    rows = [row for row in read_table(path) if row["test_error"]]
    rows.sort(key=lambda row: float(row["test_error"]))
    shown = [column for column in COLUMNS if any(row[column[0]] for row in rows)]
    lines = [["contestant", "settings of", "n", *(title for _, title, _ in shown)]]
    for row in rows:
        cells = [cell(row, name, digits) for name, _, digits in shown]
        lines.append([row["contestant"], row["source"], row["n"], *cells])
    text = [markdown_row(lines[0]), "|" + "---|" * len(lines[0]), *map(markdown_row, lines[1:])]
    for row in read_table(path):
        if row["failed"]:
            text += ["", f"{row['contestant']} has failed: {row['failed']}."]
    return "\n".join(text) + "\n"


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
    """The page with the tables that docs/referee/*.csv stand for, each between its two marks."""

    def put(found: re.Match) -> str:
        path = PLACE / f"{found[1]}.csv"
        link = f"All columns: [{found[1]}.csv](referee/{found[1]}.csv)."
        text = f"{table(path)}\n{link}\n" if path.exists() else NOT_YET
        return f"<!-- {found[1]} -->\n\n{text}\n<!-- end -->"

    return re.sub(r"<!-- ([\w-]+) -->\n.*?<!-- end -->", put, page, flags=re.S)


NOT_YET = "Not measured yet.\n"

if __name__ == "__main__":
    for argument in sys.argv[1:]:
        take(Path(argument))
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
