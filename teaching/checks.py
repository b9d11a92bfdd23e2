"""What keeps a training from learning: said beforehand, or when it first shows."""

from __future__ import annotations

import sys

import torch

from datasets import Dataset
from errors import TrainingError
from networks.schedule import Schedule
from parallel import Team
from teaching.progress import Progress

LARGE_RATE, LARGE_BETA = 100.0, 20.0  # far above all with which anything is learnt


def check_shares(team: Team, data: Dataset, schedule: Schedule) -> None:
    """Raise TrainingError where a batch has nothing for one of the processes."""
    parts = [("--batch-size", data.train, schedule.batch_size)]
    parts.append(("--test-batch-size", data.test, schedule.test_batch_size))
    if data.validation is not None:
        parts.append(("--test-batch-size", data.validation, schedule.test_batch_size))
    for option, split, size in parts:
        last = min(size, (len(split) - 1) % size + 1, len(split))
        if last < team.size:
            raise TrainingError(
                f"{option} {min(size, len(split))}: a batch of {last} samples cannot be shared by "
                f"{team.size} processes"
            )


def cautions_of(schedule: Schedule) -> list[str]:
    """What is known beforehand to keep a training from learning, a sentence each.

    Raises:
        TrainingError: it cannot even begin.
    """
    check_rates(schedule)
    rate, beta, found = max(schedule.lr_tab, default=0.0), abs(schedule.beta or 0.0), []
    if rate > LARGE_RATE:
        found.append(
            f"--lr_tab {rate:g} moves weights so far in one batch that units are held at 0 or 1 "
            "and cannot move back: rates from 0.001 to 1 are usual"
        )
    if beta > LARGE_BETA:
        found.append(
            f"--beta {schedule.beta:g} holds the outputs at their targets, and updates are divided "
            "by it: strengths from 0.01 to 1 are usual"
        )
    return found


def what_to_lower(schedule: Schedule) -> str:
    """The options that make a step smaller, those that are unusually large before others."""
    if not schedule.lr_tab:
        return "--dt_W (or --dt)"
    rate, beta = max(schedule.lr_tab), abs(schedule.beta or 0.0)
    large = ["--beta"] * (beta > LARGE_BETA) + ["--lr_tab"] * (rate > LARGE_RATE)
    return " and ".join(large) or ("--lr_tab (or --dt)" if schedule.Kmax else "--lr_tab")


def check_rates(schedule: Schedule) -> None:
    """Raise TrainingError where what weights change by is no number of their type."""
    rate, beta = max(schedule.lr_tab, default=0.0), schedule.beta or 1.0
    if rate / abs(beta) > torch.finfo(schedule.dtype).max:
        raise TrainingError(
            f"--lr_tab {rate:g} over --beta {beta:g} is more than "
            f"{str(schedule.dtype).removeprefix('torch.')} holds: lower the rate"
        )
    if rate * schedule.weight_decay >= 1:
        raise TrainingError(
            f"--weight-decay {schedule.weight_decay:g} times the rate {rate:g} is 1 or more, which "
            "would take all of a weight away at once: lower one of them"
        )


def check_finite(losses: torch.Tensor, schedule: Schedule, method: str) -> None:
    """Raise TrainingError naming the first batch whose loss is not finite."""
    broken = (~losses.isfinite()).nonzero()
    if len(broken):
        raise TrainingError(
            f"the loss of {method} is not finite in epoch {schedule.epoch}, batch "
            f"{broken[0].item() + 1}: lower {what_to_lower(schedule)}; the last checkpoint before "
            "it is kept"
        )


def warn_of_traps(progress: Progress, method: str, schedule: Schedule) -> None:
    """Say, when it first shows, what is known to spoil training by this method."""
    shares = progress.notes.get(f"{method}_test_oscillating", [0])
    silent = progress.notes[f"{method}_test_silent"]
    message = ""
    if method == "EP" and schedule.Kmax % 2 and shares[-1] and not any(shares[:-1]):
        message = (
            f"the free phase of {shares[-1]:.2f} % of the test samples ends in an oscillation of "
            f"period 2, and an odd --Kmax ({schedule.Kmax}) compares its opposite phases: use an "
            "even --Kmax, or a smaller --dt"
        )
    if method == "BPTT" and silent[-1] and not any(silent[:-1]):
        message = (
            f"{silent[-1]} output unit(s) stay at 0 for every test sample: clamped, they pass BPTT "
            "no gradient and may never learn; use --no-clamp with an energy-based network, "
            "--loss cross-entropy with others"
        )
    if message:
        print(f"warning: {message}", file=sys.stderr, flush=True)
