"""Where a training stands, and which of its epochs is the best."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from networks.phases import is_of_search
from networks.schedule import Schedule
from parallel import WORST


@dataclasses.dataclass
class Progress:
    """Where training stands: enough, with weights and particles, to go on bit for bit."""

    epoch: int = 1
    method: int = 0  # index of the method whose epoch is under way
    batch: int = 0  # batches of that epoch that are done
    seconds: float = 0.0  # spent on them
    record: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)  # per batch so far
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    notes: dict[str, list] = dataclasses.field(default_factory=dict)  # per epoch, of the test
    # By method and name, what was measured while teaching, (epochs, batches, ...).
    history: dict[str, dict[str, torch.Tensor]] = dataclasses.field(default_factory=dict)
    best: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # error, epoch
    over: list[str] = dataclasses.field(default_factory=list)  # methods that were stopped early
    # By method, passes through all weights per sample in the last batch that was counted.
    products: dict[str, float | None] = dataclasses.field(default_factory=dict)

    def is_over(self, method: str) -> bool:
        return method in self.over

    def enter(self, row: dict[str, Any], schedule: Schedule) -> bool:
        """Enter a finished epoch; return whether it is the best so far by what decides."""
        method, evaluation = row["method"], row.pop("evaluation")
        self.rows.append(row)
        if evaluation is not None:
            measures = {"silent": evaluation.silent, **evaluation.measures}
            if schedule.test_every > 1:  # which epochs the others are of
                measures["epoch"] = row["epoch"]
            for name, value in measures.items():
                self.notes.setdefault(f"{method}_test_{name}", []).append(value)
        history = self.history.setdefault(method, {})
        for name, values in self.record.items():
            if is_of_search(name):
                whole = values.max() if name.endswith(WORST) else values.mean()
                self.notes.setdefault(f"{method}_{name}", []).append(whole.item())
            elif name not in ("error", "loss"):
                before = history.get(name, values.new_zeros(0, *values.shape))
                history[name] = torch.cat([before, values[None]])
        gains, ends = self.verdict(row, schedule)
        if gains:
            self.best[method] = {"error": deciding(row), "epoch": row["epoch"]}
        if ends:
            self.over.append(method)
        return gains

    def verdict(self, row: dict[str, Any], schedule: Schedule) -> tuple[bool, bool]:
        """Whether an epoch is the best so far by what decides, and whether its method ends."""
        late = self.is_late(row, schedule)
        if not schedule.patience:
            return False, late
        best, error = self.best.get(row["method"]), deciding(row)
        if best is None or error <= best["error"] - schedule.min_gain:
            return True, late
        return False, late or row["epoch"] - best["epoch"] >= schedule.patience

    def is_late(self, row: dict[str, Any], schedule: Schedule) -> bool:
        """Whether the time of a method is over with this epoch."""
        before = [one for one in self.rows if one["method"] == row["method"] and one is not row]
        seconds = row["seconds"] + sum(one["seconds"] for one in before)
        return 0 < 60 * schedule.minutes <= seconds

    def kept_epochs(self) -> dict[str, int]:
        """By method, the epoch whose weights are kept: with patience the best, else the last."""
        last = {row["method"]: row["epoch"] for row in self.rows}
        return last | {method: best["epoch"] for method, best in self.best.items()}

    def move_on(self, index: int, n_methods: int) -> None:
        """To the next method, or to the next epoch."""
        last = index == n_methods - 1
        self.epoch, self.method = self.epoch + last, 0 if last else index + 1
        self.batch, self.seconds, self.record = 0, 0.0, {}


def deciding(row: dict[str, Any]) -> float:
    """The error of an epoch that decides on the best one: on the validation data, if there are."""
    return row.get("validation_error", row["test_error"])
