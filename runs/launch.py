"""Runs in processes of their own, one each: of this machine, or of the workers of a Dask cluster.

    with Processes(jobs=2) as launcher:
        for name, status in launcher.results(run_one, tasks, folder): ...  # as they end

In the folder of a run, log.txt holds what it has printed, and status.txt how it stands: `running 1`
(begun for the first time), `done`, or `failed: <why>`. A run whose process was killed has failed;
nothing tries it again but --resume.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TextIO

from commandLine import parse
from errors import RunError, Stopped, UserError
from process import StopRequest
from records.lock import lock
from records.names import CHECKPOINT
from records.record import PROJECT_DIR
from records.writing import write_whole
from runs.log import DONE, FAILED, LOG, RUNNING, STATUS, STOPPED, status_of
from runs.one import ACTIONS
from runs.setup import prepare

ANSWERS_WITHIN = 3.0  # seconds, of a scheduler
WORKERS_WITHIN = 10.0  # seconds, until a cluster has a worker
LOOK_EVERY = 0.2  # seconds, at the runs on a cluster
LIBRARIES = {"sklearn.datasets", "torchvision.datasets"}  # that data sets import, in a second or so
LOST = "the Dask cluster has failed (scheduler-connection-lost): --resume does what is missing"

Call = Callable[..., str]  # does a run: how it ended


# In the process of a run ------------------------------------------------------------------------


class StopAtOnce(StopRequest):
    """Ctrl-C and SIGTERM end what is under way, unless it is training, which saves itself first."""

    def note(self, number: int, frame: Any) -> None:
        super().note(number, frame)
        raise Stopped(number, "stopped")


def run_one(
    words: list[str], more: list[str], folder: str, directory: str, alone: bool = True
) -> str:
    """Do a run among many, in any process; return how it ended (`perform`).

    Args:
        words: its command line. more: what goes on with planned runs, such as --data-dir.
        folder: where its results belong. directory: where relative paths start.
        alone: this process is for this run, so that whatever it prints belongs into log.txt.
    """
    place = Path(folder)

    def action() -> None:
        if alone:  # what libraries print without Python
            for stream in (1, 2):
                os.dup2(sys.stdout.fileno(), stream)
        with contextlib.chdir(directory):
            chosen = words_of_one(words, more, place)
            args = parse(chosen)
            prepare(args)
            ACTIONS[args.action](args, chosen, place)

    return perform(action, place)


def words_of_one(words: list[str], more: list[str], folder: Path) -> list[str]:
    """The command line of a run among many: to begin it, or to go on where it was stopped."""
    stopped = (folder / CHECKPOINT).exists()
    return [*(["--resume", str(folder)] if stopped else words), *more]


def perform(action: Callable[[], None], folder: Path) -> str:
    """Do a run, with its output in log.txt; return how it ended, as status.txt has it.

    Whatever goes wrong is an answer and not an exception, so that the other runs go on. A run that
    was stopped by a signal is still `running` on disk, and `stopped <signal number>` here.
    """
    try:
        folder.mkdir(exist_ok=True)
        with (folder / LOG).open("a", encoding="utf-8", buffering=1) as log:
            lock(log)  # a process that a killed program has left behind may be at it
            before = status_of(folder)
            if before == DONE:
                return DONE
            tries = 1 + int(before.split()[1] if before.startswith(RUNNING) else 0)
            write_whole(folder / STATUS, f"{RUNNING} {tries}".encode())
            status = ending_of(action, log)
            if not status.startswith(STOPPED):
                write_whole(folder / STATUS, status.encode())
            return status
    except RunError as error:
        return f"{FAILED}: {error}"
    except OSError as error:
        return f"{FAILED}: cannot write in {folder} ({error.strerror or error})"


def ending_of(action: Callable[[], None], log: TextIO) -> str:
    """Do what a run does, and return how it ended in one line."""
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log), StopAtOnce():
            action()
        return DONE
    except Stopped as stop:
        return f"{STOPPED} {stop.signal_number}"
    except UserError as error:
        reason = str(error)
    except SystemExit:  # a wrong command line, about which its parser has printed a line
        reason = Path(log.name).read_text(encoding="utf-8").splitlines()[-1]
    except Exception as error:
        traceback.print_exc(file=log)
        reason = f"{type(error).__name__}: {error}"
    return f"{FAILED}: {reason.removeprefix('main.py: error: ').splitlines()[0]}"


# Handing out ------------------------------------------------------------------------------------


class Launcher(StopRequest):
    """Does runs in other processes. After Ctrl-C or SIGTERM no further one begins.

    A subclass says what is `under_way`, whether there `is_room` for one more, how a run `begins`,
    and which of them have `ended`.
    """

    under_way: dict[Any, Any]

    def results(self, call: Call, tasks: dict[str, tuple], folder: Path) -> Iterator[tuple]:
        """Do runs; yield the name and the status of each as it ends.

        Args:
            tasks: by the name of a run, the arguments of `call`.
            folder: holds the folders of the runs.
        Raises:
            RunError: no process can be started; the scheduler is lost.
        """
        waiting = list(tasks.items())[::-1]
        while True:
            while waiting and not self.signal_number and self.is_room():
                self.begin(call, *waiting.pop())
            if not self.under_way:
                return
            for name, status in self.ended():
                if not status.startswith(STOPPED):
                    keep_status(folder / name, status)
                    yield name, status
                elif not self.signal_number:  # it was told to, not this program
                    self.note(int(status.split()[1]), None)


def keep_status(folder: Path, status: str) -> None:
    """Write how a run has ended, if it could not do so itself."""
    if status_of(folder) != status:
        with contextlib.suppress(RunError):
            write_whole(folder / STATUS, status.encode())


class Processes(Launcher):
    """Runs on this machine, so many at a time; those under way save when they are stopped."""

    def __init__(self, jobs: int) -> None:
        super().__init__()
        self.jobs = jobs
        self.under_way: dict[connection.Connection, tuple[str, BaseProcess]] = {}

    def note(self, number: int, frame: Any) -> None:
        super().note(number, frame)
        self.terminate()

    def terminate(self) -> None:
        for _, process in tuple(self.under_way.values()):
            process.terminate()

    def is_room(self) -> bool:
        return len(self.under_way) < self.jobs

    def begin(self, call: Call, name: str, task: tuple) -> None:
        context = process_context()
        answer, write = context.Pipe(duplex=False)
        process = context.Process(target=serve, args=(write, call, task))
        try:
            process.start()
        except (OSError, EOFError) as error:
            raise RunError(
                f"cannot start a process for a run ({error}): --resume does what is missing"
            ) from error
        write.close()  # so that the end of the process is the end of the pipe
        self.under_way[answer] = name, process
        if self.signal_number:  # which came before it was listed
            process.terminate()

    def ended(self) -> Iterator[tuple[str, str]]:
        for answer in connection.wait(self.under_way):
            name, process = self.under_way.pop(answer)
            yield name, last_word(answer, process)

    def __exit__(self, *error: Any) -> None:
        self.terminate()  # none, unless this program was cut short
        for _, process in self.under_way.values():
            process.join()
        super().__exit__(*error)


def process_context() -> BaseContext:
    """How processes start: from a server that has imported this program once, where that is safe.

    On Linux a process is there in hundredths of a second. Elsewhere libraries do not survive a
    fork, and it imports everything itself.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *sorted(LIBRARIES & sys.modules.keys())])
    resource_tracker.ensure_running()  # which the server would start, and unblock Ctrl-C then
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it is for this process alone
    try:
        with contextlib.chdir(PROJECT_DIR):  # where the server looks for this program
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return context


def serve(answer: connection.Connection, call: Call, task: tuple) -> None:
    """Do a run, in the process that was started for it, and answer how it ended.

    It hears of Ctrl-C by its parent alone, and if that has been killed it is told to stop, too.
    """
    if os.name == "posix":
        os.setpgrp()
    threading.Thread(target=stop_with_parent, daemon=True).start()
    status = call(*task)
    with contextlib.suppress(OSError), answer:  # nobody may be left to listen
        answer.send(status)


def stop_with_parent() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


def last_word(answer: connection.Connection, process: BaseProcess) -> str:
    """How a run has ended: by what it answers, or else by the exit status of its process."""
    with answer:
        try:
            status = answer.recv()
        except (EOFError, OSError):
            status = ""
    process.join()
    if status:
        return status
    number = -process.exitcode
    if number in (signal.SIGINT, signal.SIGTERM):
        return f"{STOPPED} {number}"
    if number == signal.SIGKILL:
        return f"{FAILED}: killed by signal {number} (out of memory?)"
    if number > 0:
        return f"{FAILED}: killed by signal {number} ({signal.strsignal(number)})"
    return f"{FAILED}: its process has ended without a word (exit status {process.exitcode})"


# A cluster --------------------------------------------------------------------------------------


class Cluster(Launcher):
    """Runs on a Dask cluster, one for each worker; those under way go on when this one stops."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client = client
        self.under_way: dict[Any, str] = {}  # futures of Dask

    def note(self, number: int, frame: Any) -> None:
        super().note(number, frame)
        self.under_way.clear()

    def is_room(self) -> bool:
        """A run waits here and not at a worker, where Dask would blame it for the one before."""
        try:
            return len(self.under_way) < len(self.client.nthreads())
        except OSError:
            raise RunError(LOST) from None

    def begin(self, call: Call, name: str, task: tuple) -> None:
        self.under_way[self.client.submit(call, *task, pure=False, retries=0)] = name

    def ended(self) -> Iterator[tuple[str, str]]:
        time.sleep(LOOK_EVERY)
        for future in [future for future in tuple(self.under_way) if future.done()]:
            name = self.under_way.pop(future, "")
            if not name:  # forgotten at a signal just now
                return
            if future.cancelled():
                raise RunError(LOST)
            error = future.exception()
            yield name, reason_of(error) if error else future.result()


def reason_of(error: BaseException) -> str:
    """Why a run has failed of which a worker, or Dask, has only an exception."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return f"{FAILED}: its workers were killed (out of memory?)"
    return f"{FAILED}: {type(error).__name__}: {error}".splitlines()[0]


def connect(address: str) -> Any:
    """A client of the Dask cluster with a scheduler at this address, which must have workers.

    Raises:
        RunError: dask is missing, nobody answers, or the workers do not fit.
    """
    try:
        from distributed import Client
    except ImportError:
        raise RunError(
            '--backend dask needs the package dask: pip install "dask[distributed]"'
        ) from None
    for name in ("distributed", "distributed.client"):  # errors are told in a sentence
        logging.getLogger(name).setLevel(logging.CRITICAL)
    check_scheduler(address)
    client = Client(address, set_as_default=False)
    try:
        check_workers(client, address)
    except RunError:
        client.close()
        raise
    return client


def check_scheduler(address: str) -> None:
    """Raise RunError unless a Dask scheduler answers; a client would wait for a web server."""
    try:
        kind = asyncio.run(asyncio.wait_for(who_answers(address), 2 * ANSWERS_WITHIN))
        found = "" if kind == "Scheduler" else f"it is the address of a {kind}"
    except Exception as error:  # from OSError to MemoryError, if a web server answers
        found = str(error) or type(error).__name__
    if found:
        raise RunError(
            f"--scheduler {address} cannot be reached ({found}): start one by `dask scheduler`, "
            "which prints its address"
        )


async def who_answers(address: str) -> str:
    from distributed import rpc

    async with rpc(address, timeout=ANSWERS_WITHIN) as other:
        return (await other.identity())["type"]


def check_workers(client: Any, address: str) -> None:
    """Raise RunError unless a cluster has workers, each with one thread."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_WITHIN)
    except TimeoutError:
        raise RunError(
            f"--scheduler {address} has no workers: start some by `dask worker {address} "
            "--nthreads 1`"
        ) from None
    if max(client.nthreads().values()) > 1:
        raise RunError(
            f"--scheduler {address} has workers of several threads, a run needs a process of its "
            f"own: start them by `dask worker {address} --nthreads 1 --nworkers 2`"
        )


def sent_as_code() -> Call:
    """`run_one` for a worker that does not know where this program is.

    cloudpickle sends a function that is defined in a function as code, others by their name.
    """
    project = str(PROJECT_DIR)

    def call(*task: Any) -> str:
        import sys

        if project not in sys.path:
            sys.path.insert(0, project)
        from runs.launch import run_one

        return run_one(*task, alone=False)

    return call
