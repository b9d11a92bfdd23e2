"""What this process is told from outside: signals to stop, and its place in a job of torchrun.

Ctrl-C and SIGTERM are a wish, which is granted where nothing is half done:

    with StopRequest() as stop:
        for batch in batches:
            stop.grant()        # raises Stopped if one of the two has come
            ...
"""

from __future__ import annotations

import os
import signal
from typing import Any

from errors import Stopped


class StopRequest:
    """Turns Ctrl-C and SIGTERM into a wish. A second signal ends the program at once."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __enter__(self) -> StopRequest:
        self.previous = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            for number in self.previous:
                signal.signal(number, self.note)
        except ValueError:  # not the main thread: whoever owns it handles signals
            self.previous = {}
        return self

    def note(self, number: int, frame: Any) -> None:
        self.signal_number = number
        self.restore()

    def restore(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def __exit__(self, *error: Any) -> None:
        self.restore()

    def grant(self) -> None:
        """Raise Stopped if the user has asked for an end; cheap enough for every step of a phase.

        It looks at a number of this process and never at a device.
        """
        if self.signal_number:
            raise Stopped(self.signal_number, "stopped")


NEVER = StopRequest()  # that nobody makes: of networks that are not being trained


def launched() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def first_of_all() -> bool:
    """Whether this process speaks for its job; true without torchrun."""
    return not launched() or os.environ["RANK"] == "0"


def local_rank() -> int:
    """Number of this process among those of its machine."""
    return int(os.environ["LOCAL_RANK"])
