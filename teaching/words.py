"""What is printed of an epoch."""

from __future__ import annotations

from typing import Any

import torch

from parallel import WORST


def epoch_line(row: dict[str, Any], epochs: int, unit: str) -> str:
    line = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {row['method']:<4}"
    for name in ("train_error", "train_error_full", "validation_error", "test_error"):
        if row.get(name) is not None:
            line += f"  {name.replace('_', ' ')} {number(row[name], unit)}"
    return f"{line}  loss {row['loss']:.4f}  {row['seconds']:.1f} s"


def sweeps_in_words(record: dict[str, torch.Tensor]) -> str:
    """Sweeps and residual of an epoch's relaxed phases, free + nudged: mean (worst)."""
    phases = [phase for phase in ("free", "nudged") if f"sweeps_{phase}" in record]
    if not phases:
        return ""
    sweeps = " + ".join(in_words(record, f"sweeps_{phase}", ".1f", ".0f") for phase in phases)
    residuals = " + ".join(in_words(record, f"residual_{phase}", ".0e", ".0e") for phase in phases)
    return f"  sweeps {sweeps}, residual {residuals}"


def in_words(record: dict[str, torch.Tensor], name: str, mean: str, worst: str) -> str:
    """A measure of an epoch, in the formats of its mean and of its worst value."""
    return f"{record[name].mean().item():{mean}} ({record[name + WORST].max().item():{worst}})"


def number(error: float, unit: str) -> str:
    """An error as people read it: a percentage, or the half squared error of a regression."""
    return f"{error:6.2f} %" if unit == "%" else f"{error:.5f}"
