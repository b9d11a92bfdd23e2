"""Many runs under SIGKILL, SIGTERM and Ctrl-C, and many programs at once: nothing is lost."""

import contextlib
import functools
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path
from threading import Timer

import commands
import pytest
from commands import program, start
from test_manyRuns import group_in, same_to_the_bit, summary_of

from errors import RunError
from main import main
from runFolder import createPath
from runs import launch, many
from runs.many import PLAN

pytestmark = pytest.mark.long

LONGER = ["--dataset", "xor", "--network-type", "SW_no_intra", "--size_tab", 1, 8, 8, 8, 2]
LONGER += ["--T", 60, "--batch-size", 1, "--epochs", 10, "--trials", 4]
KILLED = "failed: killed by signal 9 (out of memory?)"
in_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    commands.prepare_processes()
    results = tmp_path_factory.mktemp("undisturbed")
    commands.call(*LONGER, "--results-dir", results)
    return group_in(results)


# The whole program ------------------------------------------------------------------------------


def go_on(results):
    """The words that go on with the runs below a folder; none if no plan was written yet."""
    plans = sorted(results.glob(f"ep_*/*/Runs-*/{PLAN}"))
    return ["--resume", plans[-1].parent] if plans else []


def forking_program(words):
    """`program` with runs that are forked from itself, as the server of theirs is seconds away."""
    launch.process_context = functools.partial(multiprocessing.get_context, "fork")
    program(words)


def wait_until(true, seconds=90):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def under_way(results, name="checkpoint.pt"):
    """Of the runs below a folder that have begun and are not done, the files of this name."""
    return [
        path
        for path in results.glob(f"*/*/Runs-*/*/{name}")
        if launch.status_of(path.parent).startswith("running")
    ]


def processes_below(pid):
    """Those that a process has started, and those that they have."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, *_ = stat.read_text().rpartition(")")[2].split()
            if state != "Z":
                parents[int(stat.parent.name)] = int(parent)
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


def killed_soon(words, more, folder, directory):
    """As `launch.run_one`, in the process of a run, which is killed in the middle of it."""
    Timer(random.uniform(0, 0.2), os.kill, (os.getpid(), signal.SIGKILL)).start()
    return launch.run_one(words, more, folder, directory)


def killed_for_seed_0(words, more, folder, directory):
    call = killed_soon if folder.endswith("seed=0") else launch.run_one
    return call(words, more, folder, directory)


def test_killed_five_times_it_ends_as_if_undisturbed(undisturbed, tmp_path, monkeypatch):
    """Twice the program with its runs, begun and gone on with; three times and more a run."""
    first, dice, n_killed = [*LONGER, "--results-dir", tmp_path], random.Random(20), 0
    for _ in range(2):
        process = start(program, go_on(tmp_path) or first)
        wait_until(lambda: under_way(tmp_path, "status.txt"))
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.join()
    folder = go_on(tmp_path)[1]
    monkeypatch.setattr(many, "run_one", killed_soon)
    while n_killed < 3:
        assert main(["--resume", str(folder)]) in (0, 2)  # 2: all of them have failed
        killed = [row["status"] == KILLED for row in summary_of(folder)]
        assert any(killed), "they have ended too soon"
        n_killed += sum(killed)
    monkeypatch.undo()
    with commands.drawing():
        commands.call("--resume", folder)
    same_to_the_bit(folder, undisturbed)
    assert {"trials.png", "summary.md"} <= {path.name for path in folder.iterdir()}


def test_a_killed_run_has_failed_and_no_other_has(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "run_one", killed_for_seed_0)
    commands.call(*LONGER, "--jobs", 2, "--results-dir", tmp_path)
    folder = group_in(tmp_path)
    assert [row["status"] for row in summary_of(folder)] == [KILLED, "done", "done", "done"]
    assert (folder / "seed=0" / "status.txt").read_text() == KILLED
    assert "1 run(s) failed." in (folder / "summary.md").read_text()
    monkeypatch.undo()
    commands.call("--resume", folder)
    same_to_the_bit(folder, undisturbed)


@in_proc
def test_killed_with_two_jobs_it_leaves_no_process_and_goes_on(undisturbed, tmp_path):
    running = start(program, [*LONGER, "--jobs", 2, "--results-dir", tmp_path])
    wait_until(lambda: under_way(tmp_path))
    left = processes_below(running.pid)
    running.kill()
    running.join()
    assert len(left) >= 3  # two runs, and what they are forked from
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), seconds=20)
    assert under_way(tmp_path)
    commands.call("--resume", group_in(tmp_path))
    same_to_the_bit(group_in(tmp_path), undisturbed)


def typed_program(words, said, error):
    """The program as it is started in a terminal, the leader of its group."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which its parent may have blocked
    sys.stdout.reconfigure(line_buffering=True)
    for stream, path in enumerate((said, error), 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    sys.exit(main([str(word) for word in words]))


class Typed:
    """Two runs at a time, and the files that hold what the program says."""

    def __init__(self, place):
        self.said, self.error = place / "said.txt", place / "error.txt"
        words = [*LONGER, "--jobs", 2, "--results-dir", place]
        self.process = start(typed_program, words, str(self.said), str(self.error))

    def wait_until(self, true):
        wait_until(lambda: true() or not self.process.is_alive())
        assert self.process.is_alive(), self.error.read_text()

    def interrupt(self):
        """Press Ctrl-C; return what the program then says."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.join(60)
        assert self.process.exitcode == 130
        return self.error.read_text()


@pytest.fixture
def typed(tmp_path):
    running = Typed(tmp_path)
    yield running
    running.process.kill()
    running.process.join()


def test_ctrl_c_saves_the_runs_under_way_and_says_how_to_go_on(undisturbed, typed, tmp_path):
    typed.wait_until(lambda: under_way(tmp_path))
    err = typed.interrupt()
    folder = group_in(tmp_path)
    assert err == f"stopped; go on with: python main.py --resume {folder} --jobs 2\n"
    saved = [path.parent / launch.LOG for path in under_way(tmp_path)]
    assert saved and not any("Traceback" in log.read_text() for log in saved)
    assert "failed" not in (folder / "summary.csv").read_text()
    commands.call("--resume", folder)
    same_to_the_bit(folder, undisturbed)


def test_ctrl_c_before_the_first_process_is_ready_is_the_same(typed, tmp_path):
    typed.wait_until(lambda: typed.said.exists() and "thread(s) each" in typed.said.read_text())
    time.sleep(0.3)  # they are being started
    folder = group_in(tmp_path)
    again = f"stopped; go on with: python main.py --resume {folder} --jobs 2\n"
    assert typed.interrupt() == again


def test_a_second_ctrl_c_says_how_to_go_on_too(tmp_path, monkeypatch, capsys):
    def pressed(folder, runs, results, quiet):
        os.kill(os.getpid(), signal.SIGINT)  # the first one is a wish
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("nothing has interrupted this")

    monkeypatch.setattr(many, "enter_results", pressed)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background lack
    assert main([*map(str, LONGER), "--jobs", "2", "--results-dir", str(tmp_path)]) == 130
    again = f"python main.py --resume {group_in(tmp_path)} --jobs 2"
    assert capsys.readouterr().err == f"stopped at once; go on with: {again}\n"


def test_sigterm_with_one_job_is_the_same(undisturbed, tmp_path):
    process = start(forking_program, [*LONGER, "--results-dir", tmp_path])
    wait_until(lambda: under_way(tmp_path))
    process.terminate()
    process.join()
    assert process.exitcode == 143
    commands.call("--resume", group_in(tmp_path))
    same_to_the_bit(group_in(tmp_path), undisturbed)


# One process ------------------------------------------------------------------------------------


def deadly(name, folder):
    """A call as `launch.run_one` is one, of runs that end their process in several ways."""

    def action():
        print("begun", flush=True)
        if name == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "silent":
            os._exit(3)
        if name == "bad":
            os.kill(os.getpid(), signal.SIGKILL)

    return launch.perform(action, Path(folder))


def test_a_run_that_kills_its_process_fails_and_no_other_does(tmp_path):
    names = ("a", "bad", "b", "segfault", "c", "silent")
    tasks = {name: (name, str(tmp_path / name)) for name in names}
    with launch.Processes(2) as launcher:
        ended = dict(launcher.results(deadly, tasks, tmp_path))
    expected = dict.fromkeys(names, "done") | {
        "bad": KILLED,
        "segfault": "failed: killed by signal 11 (Segmentation fault)",
        "silent": "failed: its process has ended without a word (exit status 3)",
    }
    assert ended == expected
    for name, status in ended.items():
        assert launch.status_of(tmp_path / name) == status
        assert (tmp_path / name / launch.LOG).read_text().count("begun") == 1


def test_a_run_that_is_told_to_stop_from_outside_stops_them_all(tmp_path):
    tasks = {name: (name, str(tmp_path / name)) for name in ("a", "b", "c")}
    with launch.Processes(1) as launcher:
        ended = dict(launcher.results(ended_by_sigterm, tasks, tmp_path))
    assert ended == {} and launcher.signal_number == signal.SIGTERM
    assert launch.status_of(tmp_path / "a") == "running 1" and not (tmp_path / "b").exists()


def ended_by_sigterm(name, folder):
    return launch.perform(lambda: os.kill(os.getpid(), signal.SIGTERM), Path(folder))


def test_processes_that_cannot_be_started_end_the_program_with_a_sentence(tmp_path, monkeypatch):
    context = launch.process_context()

    def no_more(process):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(context.Process, "start", no_more)
    tasks = {"a": ("a", str(tmp_path / "a"))}
    sentence = r"cannot start a process for a run \(.* unavailable\): --resume does what is missing"
    with launch.Processes(2) as launcher, pytest.raises(RunError, match=sentence):
        list(launcher.results(deadly, tasks, tmp_path))


# Many programs at once --------------------------------------------------------------------------


def take_a_folder(results, barrier):
    barrier.wait()
    path = createPath(results, "model", "cpu")
    (path / "mine.txt").write_text(str(os.getpid()))


def test_twenty_programs_at_once_take_twenty_folders(tmp_path):
    barrier = multiprocessing.get_context("forkserver").Barrier(20)
    processes = [start(take_a_folder, tmp_path, barrier) for _ in range(20)]
    for process in processes:
        process.join()
    owners = [int(path.read_text()) for path in tmp_path.glob("model/*/Trial-*/mine.txt")]
    assert sorted(owners) == sorted(process.pid for process in processes)


def test_programs_started_at_once_keep_their_runs_apart(tmp_path):
    words = ["--dataset", "xor", "--size_tab", 1, 8, 2, "--T", 5, "--Kmax", 2, "--trials", 2]
    words += ["--no-figures", "--results-dir", tmp_path]
    processes = [start(forking_program, [*words, "--seed", 10 * k]) for k in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 2
    folders = sorted(tmp_path.glob("*/*/Runs-*"))
    seeds = [[int(row["seed"]) for row in summary_of(folder)] for folder in folders]
    assert sorted(seeds) == [[10 * k, 10 * k + 1] for k in range(2)]
