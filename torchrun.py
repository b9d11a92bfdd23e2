"""What torchrun tells the processes that it starts, in their environment; no torch is needed."""

from __future__ import annotations

import os


def launched() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def first_of_all() -> bool:
    """Whether this process speaks for its job; true without torchrun."""
    return not launched() or os.environ["RANK"] == "0"


def local_rank() -> int:
    """Number of this process among those of its machine."""
    return int(os.environ["LOCAL_RANK"])
