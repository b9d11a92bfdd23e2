"""Draw figures of docs/ from the numbers in the tables of their pages.

    python scripts/draw_tables.py skips_compared brainprop_conv relaxed_and_stepped

The trainings behind these take hours: a figure that is drawn from the table cannot differ from it.
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from drawing.learning import Curve  # noqa: E402
from drawing.style import STYLES, colour_of, marker_of  # noqa: E402
from plotFunctions import save_errors  # noqa: E402


def rows_below(page: str, title: str) -> list[list[str]]:
    """The cells of the first table with this first line whose first cell is a number."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text[text.index(title) :].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [row for row in rows if row[0].isdigit()]


def skips_compared() -> list[Curve]:
    """Errors of the layered network and of the one with skips, one seed each."""
    rows = rows_below("layer-skipping.md", "| epoch | MLFF, authors | MLFF, here |")
    epochs, curves = [int(row[0]) for row in rows], []
    for column, name, colour in ((2, "layered", "C0"), (4, "with skips", "C1")):
        pairs = np.array([row[column].split(" / ") for row in rows], float)  # train, test
        for kind, errors in zip(("train", "test"), pairs.T, strict=True):
            curves.append(Curve(f"{name}, {kind}", epochs, errors, colour, STYLES[kind]))
    return curves


def brainprop_conv() -> list[Curve]:
    """Test errors of both rules; three values have any mean and standard deviation."""
    rows = rows_below("brainprop.md", "| epoch | conv BrainProp | conv EBP |")
    epochs, curves = [int(row[0]) for row in rows], []
    for column, method in ((1, "BrainProp"), (2, "EBP")):
        known = [re.findall(r"[\d.]+", row[column]) for row in rows]
        mean, std = np.array(known, float).T
        seeds = 100 - mean + np.array([[-1.0], [0.0], [1.0]]) * std  # (3, epochs)
        look = colour_of(method), STYLES["test"], marker_of(method)
        curves.append(Curve(f"{method} test", epochs, seeds, *look))
    return curves


def relaxed_and_stepped() -> list[Curve]:
    """Test errors of three networks, each in one colour, stepped ones with a dashed line."""
    title = "| epoch | EB-2h, relaxed | EB-2h, stepped |"
    rows, curves = rows_below("layered-ep.md", title), []
    epochs = [int(row[0]) for row in rows]
    for column, (network, solver) in enumerate(
        itertools.product(("EB-2h", "P-3h", "P-conv"), ("relaxed", "stepped")), start=1
    ):
        pairs = [row[column].split(" / ") for row in rows]  # train, test; fewer epochs of P-conv
        errors = np.array([float(pair[-1] or "nan") for pair in pairs])
        style = STYLES["test" if solver == "relaxed" else "train"]
        curves.append(Curve(f"{network}, {solver}", epochs, errors, f"C{(column - 1) // 2}", style))
    return curves


FIGURES = {
    "skips_compared": skips_compared,
    "brainprop_conv": brainprop_conv,
    "relaxed_and_stepped": relaxed_and_stepped,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or FIGURES:
        with tempfile.TemporaryDirectory() as place:
            save_errors(Path(place), name, {"%": FIGURES[name]()})
            shutil.move(Path(place) / f"{name}.png", ROOT / "docs" / f"{name}.png")
