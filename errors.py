"""What goes wrong and a user can mend: one sentence, printed without a traceback, exit status 2."""

from __future__ import annotations


class UserError(Exception):
    """The message is one sentence: what is wrong, and what would be right."""


class DataError(UserError, ValueError):
    """A data set that cannot be had."""


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception of Python, numpy or torch says that there is not enough memory."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text


class RunError(UserError):
    """Something about a run or its folder."""


class NoEquilibrium(UserError, ValueError):  # noqa: N818  (what is the matter)
    """A phase that never ends, with these settings."""


class TrainingError(UserError):
    """Training cannot go on; the message says where it stopped and what to change."""


class LostProcess(UserError):  # noqa: N818  (what happened, to others)
    """Another process of the job has ended."""


class Stopped(Exception):  # noqa: N818  (a wish, not an error)
    """The user asked for an end (Ctrl-C, SIGTERM) and everything so far is saved."""

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.signal_number = signal_number
