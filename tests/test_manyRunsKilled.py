"""Many runs under SIGKILL, SIGTERM and Ctrl-C, and many programs at once: nothing is lost."""

import contextlib
import functools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import pytest
from test_manyRuns import group_in, same_to_the_bit, summary_of

from runFolder import createPath
from runs import launch as workers
from runs.many import PLAN

LONGER = ["--preset", "wine_5layer_swni", "--T", 60, "--epochs", 4, "--trials", 4]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    results = tmp_path_factory.mktemp("undisturbed")
    commands.call(*LONGER, "--results-dir", results)
    return group_in(results)


# The whole program ------------------------------------------------------------------------------


def quiet_main(words):
    """The program in a process that has imported it already; run by the fork server."""
    from main import main

    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    os._exit(main([str(word) for word in words]))  # multiprocessing's way out waits for loky's


@pytest.fixture(scope="module")
def start():
    """Start the program in milliseconds, as a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["main", "matplotlib.figure", "matplotlib.backends.backend_pdf"])

    def started(target, *args):
        process = context.Process(target=target, args=args)
        process.start()
        return process

    return started


def test_killed_ten_times_it_ends_as_if_undisturbed(undisturbed, start, tmp_path):
    first = [*LONGER, "--results-dir", tmp_path]
    began = time.monotonic()
    whole = start(quiet_main, [*LONGER, "--results-dir", tmp_path / "timed"])
    whole.join()
    seconds = time.monotonic() - began
    dice = random.Random(20)
    for _ in range(10):
        process = start(quiet_main, go_on(tmp_path) or first)
        process.join(dice.uniform(0, seconds / 4))
        process.kill()
        process.join()
    last = start(quiet_main, go_on(tmp_path) or first)
    last.join()
    assert whole.exitcode == last.exitcode == 0
    folder = Path(go_on(tmp_path)[1])
    same_to_the_bit(folder, undisturbed)
    assert {"trials.png", "summary.md"} <= {path.name for path in folder.iterdir()}


def go_on(results):
    """The words that go on with the runs below a folder; none if no plan was written yet."""
    plans = sorted(results.glob(f"ep_*/*/Runs-*/{PLAN}"))
    return ["--resume", plans[-1].parent] if plans else []


def children(pid):
    """Processes of joblib's pool that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"popen_loky" in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
    return found


def alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until(true, running=None, seconds=90):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        assert running is None or running.poll() is None, running.communicate()
        time.sleep(0.02)


def under_way(results, name="checkpoint.pt"):
    """A run has begun, and is not done."""
    return [
        path
        for path in results.glob(f"*/*/Runs-*/*/{name}")
        if workers.status_of(path.parent).startswith("running")
    ]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_killed_worker_costs_nothing_but_time(undisturbed, start, tmp_path):
    running = start(quiet_main, [*LONGER, "--jobs", 2, "--results-dir", tmp_path])
    wait_until(lambda: under_way(tmp_path))
    os.kill(children(running.pid)[0], signal.SIGKILL)
    running.join()
    assert running.exitcode == 0
    same_to_the_bit(group_in(tmp_path), undisturbed)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_killed_with_two_jobs_it_leaves_no_process_and_goes_on(undisturbed, start, tmp_path):
    running = start(quiet_main, [*LONGER, "--jobs", 2, "--results-dir", tmp_path])
    wait_until(lambda: under_way(tmp_path))
    pool = children(running.pid)
    running.kill()
    running.join()
    wait_until(lambda: not any(map(alive, pool)), seconds=20)
    commands.call("--resume", group_in(tmp_path))
    same_to_the_bit(group_in(tmp_path), undisturbed)


def test_ctrl_c_saves_the_runs_under_way_and_says_how_to_go_on(undisturbed, tmp_path):
    command = [sys.executable, commands.ROOT / "main.py", *map(str, LONGER), "--jobs", "2"]
    running = subprocess.Popen(
        [*command, "--results-dir", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: under_way(tmp_path), running)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    folder = group_in(tmp_path)
    assert running.returncode == 130 and "Traceback" not in err
    assert err == f"stopped; go on with: python main.py --resume {folder} --jobs 2\n"
    assert "stopped after epoch" not in (folder / "summary.csv").read_text()
    commands.call("--resume", folder)
    same_to_the_bit(folder, undisturbed)


def test_sigterm_with_one_job_is_the_same(undisturbed, start, tmp_path):
    process = start(quiet_main, [*LONGER, "--results-dir", tmp_path])
    wait_until(lambda: under_way(tmp_path))
    process.terminate()
    process.join()
    assert process.exitcode == 143
    commands.call("--resume", group_in(tmp_path))
    same_to_the_bit(group_in(tmp_path), undisturbed)


# One process of a pool --------------------------------------------------------------------------


def deadly():
    """A call as workers.sent_as_code makes one, whose run `bad` kills its process every time."""
    tests = str(Path(__file__).parent.parent)

    def call(name, folder):
        import os
        import signal
        import sys
        import time
        from pathlib import Path

        sys.path.insert(0, tests)
        from runs.launch import perform

        def action():
            print("begun")
            if name == "bad":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.2)

        return name, perform(action, Path(folder))

    return call


def outcomes_of(hand_out, tasks, folder):
    with workers.StopAll() as stop:
        results = workers.results_of(hand_out, deadly(), tasks, folder, stop)
        return dict(results)


def test_a_run_that_kills_its_process_fails_and_no_other_does(tmp_path):
    tasks = {name: (str(tmp_path / name),) for name in ("a", "bad", "b", "c")}
    hand_out = functools.partial(workers.on_this_machine, 2, iter(()))
    ended = outcomes_of(hand_out, tasks, tmp_path)
    assert set(ended) == set(tasks)
    for name, status in ended.items():
        expected = workers.KILLED if name == "bad" else "done"
        assert status == workers.status_of(tmp_path / name) == expected
        begun = (tmp_path / name / workers.LOG).read_text().count("begun")
        assert begun == 2 if name == "bad" else begun <= 3


def test_processes_that_never_begin_end_the_program_with_a_sentence(tmp_path):
    from concurrent.futures.process import BrokenProcessPool

    from errors import RunError

    def broken(call, tasks, stop):
        raise BrokenProcessPool
        yield

    with pytest.raises(RunError, match="killed before they begin a run"):
        outcomes_of(broken, {"a": (str(tmp_path / "a"),)}, tmp_path)


# Many programs at once --------------------------------------------------------------------------


def take_a_folder(results, barrier):
    barrier.wait()
    path = createPath(results, "model", "cpu")
    (path / "mine.txt").write_text(str(os.getpid()))


def test_twenty_programs_at_once_take_twenty_folders(start, tmp_path):
    barrier = multiprocessing.get_context("forkserver").Barrier(20)
    processes = [start(take_a_folder, tmp_path, barrier) for _ in range(20)]
    for process in processes:
        process.join()
    owners = [int(path.read_text()) for path in tmp_path.glob("model/*/Trial-*/mine.txt")]
    assert sorted(owners) == sorted(process.pid for process in processes)


def test_programs_started_at_once_keep_their_runs_apart(start, tmp_path):
    words = ["--dataset", "digits", "--size_tab", 10, 8, 64, "--T", 5, "--Kmax", 2, "--trials", 2]
    words += ["--batch-size", 500, "--results-dir", tmp_path]
    processes = [start(quiet_main, [*words, "--seed", 10 * k]) for k in range(4)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    folders = sorted(tmp_path.glob("*/*/Runs-*"))
    seeds = [[int(row["seed"]) for row in summary_of(folder)] for folder in folders]
    assert sorted(seeds) == [[10 * k, 10 * k + 1] for k in range(4)]
