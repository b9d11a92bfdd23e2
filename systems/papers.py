"""What the papers report: papers.csv, the one place of these figures in the project.

    results_of("EB-1h")            # rows of that experiment
    sentence(results_of("XOR"))    # the same for people

A row is one figure, or one statement where the paper gives no figure. `confirmed` says how it is
known: seen (read in the authors' own text, code, notebook or run log), seen-quoted (read in a
later paper that quotes it), derived (computed from figures that were seen), memory (held from
memory, read nowhere), not found (the paper has a figure, no copy of it could be read).
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).resolve().parent / "papers.csv"
MARKS = {"memory": "not confirmed", "derived": "derived"}


class PaperResult(NamedTuple):
    """One row of the table."""

    system: str  # ernoult, gammell, deep, asymEP or brainprop
    experiment: str  # the paper's name for it; presets name it in `Preset.paper`
    method: str
    metric: str  # as the report measures it: test_error, sparsity, ...; note: a statement
    epoch: int | None  # after which it was measured, where that is said
    value: str  # as printed, with its decimals
    std: str  # standard deviation, or nothing
    unit: str
    source: str
    confirmed: str

    @property
    def is_marked(self) -> bool:
        """Whether the figure was not read in the paper's own text."""
        return self.confirmed in MARKS

    @property
    def number(self) -> float | None:
        """The value, or None of a statement."""
        try:
            return float(self.value)
        except ValueError:
            return None

    @property
    def figure(self) -> str:
        """The value as people read it, with its standard deviation, and % if it is a share."""
        spread = f" ± {self.std}" if self.std else ""
        return f"{self.value}{spread}" + " %" * (self.unit == "%")

    @property
    def text(self) -> str:
        """The figure with its unit."""
        return self.figure if self.unit == "%" else f"{self.figure} {self.unit}".strip()


@functools.cache
def paper_results() -> tuple[PaperResult, ...]:
    """Every row of the table."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple(PaperResult(**row | {"epoch": int(row["epoch"] or 0) or None}) for row in rows)


def results_of(*experiments: str) -> list[PaperResult]:
    """The rows of these experiments, in the order of the table."""
    return [row for row in paper_results() if row.experiment in experiments]


def sentence(results: list[PaperResult], epochs: int = 0) -> str:
    """What is reported, grouped by where it is known from.

    Args:
        epochs: earlier figures of a learning curve are left out.
    """
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in results:
        early = row.epoch is not None and row.epoch < epochs
        if early and not row.metric.startswith("best"):
            continue
        name = "" if row.metric == "note" else f"{row.method} {row.metric.replace('_', ' ')} "
        when = f"after epoch {row.epoch}: " if row.epoch else ""
        known = groups.setdefault((row.source, row.confirmed), {})
        known.setdefault(when, []).append(f"{name.lstrip()}{row.text}")
    parts = []
    for (source, confirmed), known in groups.items():
        mark = f", {MARKS[confirmed]}" if confirmed in MARKS else ""
        said = "; ".join(when + ", ".join(phrases) for when, phrases in known.items())
        parts.append(f"{said} ({source}{mark})")
    return "; ".join(parts) or "no figure held here"
