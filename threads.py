"""How many threads of the CPU a run has.

A step of the dynamics is a product so short that threads spend their time waiting for each other;
and where another program has one of the cores, every step waits until that one is moved aside. On
two cores two threads made the steps of small networks hardly faster, and beside one other program
some 70 times slower.

    enough = threads_for(20 * 512 * 10)     # 1: of the multiplications of a step
    print(crowded(torch.get_num_threads()))
"""

from __future__ import annotations

import os
import time
from pathlib import Path

WORTH_SHARING = 1e7  # multiplications, about a quarter of a millisecond of one core
LOAD = Path("/proc/loadavg")  # of Linux: "0.1 0.2 0.3 2/345 6789", the 2 counts what runs right now
LOOKS, PAUSE = 4, 0.02  # seconds between two looks


def threads_for(multiplications: float) -> int:
    """1 where a step is too short to share, else 0: torch's choice.

    Decided by sizes alone and not by the clock, so that a run can be repeated to the bit.
    """
    return 1 if multiplications < WORTH_SHARING else 0


def crowded(threads: int, load: Path = LOAD) -> str:
    """A sentence if other programs leave too few cores for so many threads, else nothing."""
    cores, busy = os.cpu_count() or 1, busy_cores(load)
    if threads == 1 or not busy or threads + busy <= cores:
        return ""
    return (
        f"note: other programs keep {min(busy, cores)} of the {cores} cores busy, and {threads} "
        "threads wait for each other at every step: --threads 1 may be many times faster"
    )


def busy_cores(load: Path = LOAD) -> int:
    """Cores that other programs keep busy just now, 0 where the system does not tell."""
    counts = []
    for _ in range(LOOKS):
        try:
            counts.append(int(load.read_text().split()[3].partition("/")[0]))
        except (OSError, IndexError, ValueError):
            return 0
        time.sleep(PAUSE)
    return max(0, min(counts) - 1)  # this program is one of them
