"""The numbers of metrics.csv for TensorBoard, as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from errors import RunError


class Scalars:
    """Writes the rows of metrics.csv as they come, a curve per method and number.

    Args:
        folder: of the run; the event files are in `tensorboard` below it.
        epoch: the first to come; of a run that goes on, what was written of it before is hidden.
    Raises:
        RunError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, epoch: int = 1) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RunError(
                "--tensorboard needs the package tensorboard: pip install tensorboard"
            ) from error
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=epoch)

    def add(self, row: dict[str, Any]) -> None:
        """Write a row of metrics.csv."""
        for name, value in row.items():
            if name not in ("epoch", "method") and value is not None:
                self.writer.add_scalar(f"{row['method']}/{name}", value, row["epoch"])
        self.writer.flush()
