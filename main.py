#!/usr/bin/env python3
"""Train networks without backpropagation, from the command line.

    python main.py --dataset digits --epochs 10                    # energy-based EP, no download
    python main.py --preset P-1h                                   # a published experiment
    python main.py --action evaluate --load results/.../checkpoint.pt

Every run gets its own folder with the options, the numbers, a checkpoint and the figures.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from commandLine import parse
from commandLine.settings import Settings, is_many
from errors import RunError, Stopped, UserError, lacks_memory
from process import first_of_all, launched
from runs.log import Log
from systems import PRESETS

MORE_MEMORY = (
    "there is not enough memory for this: a smaller network, --batch-size, --test-batch-size or "
    "--train-samples needs less"
)


def main(argv: list[str]) -> int:
    if first_of_all():
        return start(argv)
    with contextlib.ExitStack() as silence:  # one of the processes of a job speaks for all
        nowhere = silence.enter_context(open(os.devnull, "w"))
        silence.enter_context(contextlib.redirect_stdout(nowhere))
        silence.enter_context(contextlib.redirect_stderr(nowhere))
        return start(argv)


def start(argv: list[str]) -> int:
    """Do what the command line asks for; return the exit status."""
    args = parse(argv)
    if args.action == "list":
        return look(args, argv)
    with Log(argv):
        return do(args, argv)


def look(args: Settings, argv: list[str]) -> int:
    """List the runs there are, which needs no torch; return the exit status."""
    from runs.listing import run_list  # loads numpy, which --help and a mistake do without

    try:
        run_list(args, argv)
    except UserError as error:
        print(f"main.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def do(args: Settings, argv: list[str]) -> int:
    """Do what the options ask for; return the exit status."""
    from parallel import part  # these load torch, which --help and a mistake do without
    from runs.compare import group_of
    from runs.many import print_commands, run_many
    from runs.one import ACTIONS
    from runs.setup import prepare

    try:
        prepare(args)
        if launched() and (is_many(args) or args.action != "train"):
            raise RunError("torchrun is for training one network: start this by python main.py")
        if args.dry_run:
            print_commands(args, argv, group_of(args))
            return 0
        if args.preset:
            print(f"preset {args.preset}: {PRESETS[args.preset].options}")
        if is_many(args):
            run_many(args, argv, group_of(args))
        else:
            ACTIONS[args.action](args, argv)
    except UserError as error:
        print(f"main.py: error: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        print(f"main.py: error: {MORE_MEMORY}", file=sys.stderr)
        return 2
    finally:
        part()
    return 0


class Unbroken:
    """A stream that nobody may be reading any more, as after `| head -1`: then it is lost, and the

    program goes on, whose results are on disk.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        with self.whatever_happens():
            return self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self.whatever_happens():
            self.stream.flush()

    @contextlib.contextmanager
    def whatever_happens(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


if __name__ == "__main__":
    sys.stdout, sys.stderr = Unbroken(sys.stdout), Unbroken(sys.stderr)
    sys.exit(main(sys.argv[1:]))
