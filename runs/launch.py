"""Runs in processes of their own, through joblib: of this machine (loky) or of a Dask cluster.

    with closed_silently(start_processes(2)) as started, StopAll() as stop:
        hand_out = functools.partial(on_this_machine, 2, started)
        for name, status in results_of(hand_out, call, tasks, folder, stop): ...  # as they end

In the folder of a run, log.txt holds what it has printed, and status.txt how it stands: `running 1`
(for the first time), `done`, or `failed: <why>`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TextIO

from commandLine import parse
from errors import RunError, Stopped, UserError
from netFunctions import StopRequest
from runFolder import PROJECT_DIR, write_whole
from runs.one import ACTIONS, prepare

LOG = "log.txt"
STATUS = "status.txt"
RUNNING, STOPPED, DONE, FAILED = "running", "stopped", "done", "failed"
KILLED = f"{FAILED}: its process was killed twice (out of memory?)"
ANSWERS_WITHIN = 3.0  # seconds, of a scheduler
WORKERS_WITHIN = 10.0  # seconds, until a cluster has a worker

Call = Callable[..., tuple[str, str]]  # runs a task: its name and status
HandOut = Callable[[Call, list[tuple], StopRequest], Iterator[tuple[str, str]]]


# In the process of a run ------------------------------------------------------------------------


def status_of(folder: Path) -> str:
    """How a run stands: the line of its status.txt, empty if it has not begun."""
    try:
        return (folder / STATUS).read_text(encoding="utf-8")
    except OSError:
        return ""


class StopAtOnce(StopRequest):
    """Ctrl-C and SIGTERM end what is under way, unless it is training, which saves itself first."""

    def note(self, number: int, frame: Any) -> None:
        super().note(number, frame)
        raise Stopped(number, "stopped")


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
            if tries > 2:
                status = KILLED
            else:
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


def lock(file: TextIO, wait: bool = True) -> bool:
    """Lock an open file until it is closed or this process ends; return whether it was free."""
    try:
        import fcntl  # not on Windows, where nothing is locked

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a file system without locks
        return True
    return True


def sent_as_code(directory: Path) -> Call:
    """The function that a process calls with (name, words, more, folder) to do a run.

    cloudpickle sends a function that is defined in a function as code. So a process can take it
    before it knows where this program is.

    Args:
        directory: where relative paths start.
    """
    project, place = str(PROJECT_DIR), str(directory)

    def call(name: str, words: list[str], more: list[str], folder: str) -> tuple[str, str]:
        import sys

        if project not in sys.path:
            sys.path.insert(0, project)
        from runs.launch import run_one

        return name, run_one(words, more, folder, place)

    return call


def words_of_one(words: list[str], more: list[str], folder: Path) -> list[str]:
    """The command line of a run among many: to begin it, or to go on where it was stopped."""
    stopped = (folder / "checkpoint.pt").exists()
    return [*(["--resume", str(folder)] if stopped else words), *more]


def run_one(words: list[str], more: list[str], folder: str, directory: str) -> str:
    """Do a run among many, in any process; return how it ended (workers.perform).

    Args:
        words: its command line. more: what goes on with planned runs, such as --data-dir.
        folder: where its results belong. directory: where relative paths start.
    """
    place = Path(folder)

    def action() -> None:
        with contextlib.chdir(directory):
            chosen = words_of_one(words, more, place)
            args = parse(chosen)
            prepare(args)
            ACTIONS[args.action](args, chosen, place)

    return perform(action, place)


# Handing out ------------------------------------------------------------------------------------


class StopAll(StopRequest):
    """Ctrl-C and SIGTERM: no further run begins, and those under way on this machine save."""

    def note(self, number: int, frame: Any) -> None:
        super().note(number, frame)
        for process in multiprocessing.active_children():
            process.terminate()


def results_of(
    hand_out: HandOut, call: Call, tasks: dict[str, tuple], folder: Path, stop: StopRequest
) -> Iterator[tuple[str, str]]:
    """Do runs; yield the name and the status of each as it ends, until a signal stops them all.

    A process that is killed takes those beside it with it. What they were at begins again, one at
    a time, so that a run that kills its process fails and no other.

    Args:
        hand_out: `on_this_machine` or `on_cluster`, the arguments before `call` filled in.
        tasks: by the name of a run, the other arguments of `call`.
        folder: holds the folders of the runs.
    Raises:
        RunError: processes end before they begin a run; the scheduler is lost.
    """
    left, suspects, in_vain = dict(tasks), set(), 0
    while left and not stop.signal_number:
        unsuspected = [name for name in left if name not in suspects]
        batch = unsuspected or list(left)[:1]
        try:
            with closed_silently(hand_out(call, [(n, *left[n]) for n in batch], stop)) as results:
                for name, status in results:
                    if not status.startswith(STOPPED):
                        del left[name]
                        yield name, status
                    elif not stop.signal_number:  # it was told to, not this program
                        stop.note(int(status.split()[1]), None)
        except BrokenProcessPool:
            begun = {n for n in batch if n in left and status_of(folder / n).startswith(RUNNING)}
            suspects |= begun
            in_vain = 0 if begun else in_vain + 1
            if in_vain == 3:
                raise RunError("the worker processes are killed before they begin a run") from None


@contextlib.contextmanager
def closed_silently(results: Iterator) -> Iterator[Iterator]:
    """Close a generator at the end, without joblib's warning that there was more to come."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.close()


def start_processes(jobs: int) -> Iterator:
    """Let the processes of `on_this_machine` start while this one goes on."""
    return at_a_time(jobs, ((os.getpid,) for _ in range(jobs)))


def on_this_machine(
    jobs: int, started: Iterator, call: Call, tasks: list[tuple], stop: StopRequest
) -> Iterator:
    """Do so many runs at a time, each in a process of its own; a single one at a time in this.

    Args:
        started: what `start_processes` has returned.
    """
    collections.deque(started, maxlen=0)
    yield from at_a_time(jobs, ((call, *task) for task in tasks if not stop.signal_number))


def at_a_time(jobs: int, tasks: Iterable[tuple]) -> Iterator:
    """Results of tasks (function, argument, ...) as they end; joblib keeps its processes."""
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", initializer=settle, initargs=(os.getpid(),)):
        parallel = Parallel(
            jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
    return parallel(delayed(function)(*arguments) for function, *arguments in tasks)


def settle(parent: int) -> None:
    """Prepare a process for runs: it hears of Ctrl-C by its parent, and ends when that has ended.

    Between two runs it does not listen: if it ended, joblib would kill those that are saving.
    """
    os.setpgrp()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


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
    """Raise RunError unless a Dask scheduler answers, within seconds."""
    try:
        kind = asyncio.run(who_answers(address))
        found = "" if kind == "Scheduler" else f"it is the address of a {kind}"
    except Exception as error:  # from OSError to MemoryError, if a web server answers
        found = str(error) or type(error).__name__
    if found:
        raise RunError(
            f"--scheduler {address} cannot be reached ({found}): start one by `dask scheduler`, "
            "which prints its address"
        )


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


async def who_answers(address: str) -> str:
    from distributed import rpc

    async with rpc(address, timeout=ANSWERS_WITHIN) as other:
        return (await other.identity())["type"]


def on_cluster(client: Any, call: Call, tasks: list[tuple], stop: StopRequest) -> Iterator:
    """Do as many runs at a time as the cluster has workers.

    joblib waits for ever for a run that dask has given up, because workers died beside it. So
    another thread waits, and this one looks around now and then.
    """
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("dask", client=client) as settings:
        # of a cluster with one worker joblib would do the runs in this process
        settings["backend"].effective_n_jobs = lambda n_jobs: max(2, len(client.nthreads()))
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
    ended: queue.SimpleQueue = queue.SimpleQueue()
    given_up_before = set(client.futures)

    def wait() -> None:
        try:
            for result in parallel(delayed(call)(*task) for task in tasks):
                ended.put(result)
            ended.put(None)
        except Exception as error:  # of dask: the tasks' own are answers
            reason = getattr(error, "reason", "") or str(error) or type(error).__name__
            ended.put(
                RunError(
                    f"the Dask cluster has failed ({reason.splitlines()[0]}): --resume does what "
                    "is missing"
                )
            )

    threading.Thread(target=wait, daemon=True).start()
    while not stop.signal_number:
        try:
            result = ended.get(timeout=0.5)
        except queue.Empty:
            own = [f for key, f in list(client.futures.items()) if key not in given_up_before]
            if any(future.status == "error" for future in own):
                raise BrokenProcessPool from None
            continue
        if result is None:
            return
        if isinstance(result, RunError):
            raise result
        yield result
