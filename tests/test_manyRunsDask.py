"""Many runs on a real Dask cluster, on loopback: a scheduler and two workers of their own."""

import builtins
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import commands
import pytest
from test_commandLine import fails
from test_manyRuns import group_in, same_to_the_bit
from test_manyRunsKilled import LONGER, outcomes_of, under_way, wait_until

from runs import launch as workers

DASK = shutil.which("dask", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
RUNS = [*LONGER, "--backend", "dask", "--scheduler"]
without_dask = pytest.mark.skipif(DASK is None, reason='no dask: pip install "dask[distributed]"')


class Cluster:
    """A scheduler and workers that know nothing of this program, as on another machine."""

    def __init__(self, place):
        self.place, self.processes = place, []
        self.file = place / "scheduler.json"

    def __enter__(self):
        self.start("scheduler", "--host", "127.0.0.1", "--port", 0)
        wait_until(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        self.address = json.loads(self.file.read_text())["address"]
        return self

    def start(self, kind, *words):
        command = [DASK, kind, "--scheduler-file", self.file, "--no-dashboard", *words]
        log = (self.place / f"{kind}-{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            list(map(str, command)), cwd=self.place, stdout=log, stderr=log, start_new_session=True
        )
        self.processes.append(process)
        return process

    def start_worker(self, *words):
        local = self.place / f"worker-{len(self.processes)}"
        return self.start("worker", "--local-directory", local, *(words or ("--nthreads", 1)))

    def __exit__(self, *error):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        made.start_worker()
        made.start_worker()
        yield made


@pytest.fixture
def own_cluster(tmp_path):
    with Cluster(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    results = tmp_path_factory.mktemp("undisturbed")
    commands.call(*LONGER, "--results-dir", results)
    return group_in(results)


@without_dask
def test_a_cluster_gives_the_same_to_the_bit(cluster, undisturbed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # relative paths are those of the command, not of the workers
    commands.call(*RUNS, cluster.address, "--results-dir", "results")
    assert f"2 worker(s) of {cluster.address}, 1 thread(s) each" in capsys.readouterr().out
    same_to_the_bit(group_in(tmp_path / "results"), undisturbed)


@without_dask
def test_a_run_that_kills_its_worker_fails_and_no_other_does(cluster, tmp_path):
    tasks = {name: (str(tmp_path / name),) for name in ("a", "bad", "b", "c")}
    with workers.connect(cluster.address) as client:
        ended = outcomes_of(functools.partial(workers.on_cluster, client), tasks, tmp_path)
    assert ended == dict.fromkeys(tasks, "done") | {"bad": workers.KILLED}


@without_dask
def test_a_lost_scheduler_is_a_sentence_and_the_runs_go_on_here(
    own_cluster, undisturbed, tmp_path, capfd
):
    from main import main

    own_cluster.start_worker()
    results = tmp_path / "results"
    line = [*map(str, RUNS), own_cluster.address, "--results-dir", str(results)]

    def end_scheduler():
        wait_until(lambda: under_way(results))
        own_cluster.processes[0].kill()

    Thread(target=end_scheduler).start()
    assert main(line) == 2
    err = capfd.readouterr().err
    sentence = "the Dask cluster has failed (scheduler-connection-lost)"
    assert err == f"main.py: error: {sentence}: --resume does what is missing\n"
    own_cluster.processes[1].kill()
    commands.call("--resume", group_in(results))
    same_to_the_bit(group_in(results), undisturbed)


@without_dask
def test_ctrl_c_leaves_a_run_to_its_worker_and_going_on_waits_for_it(
    cluster, undisturbed, tmp_path, capfd
):
    from main import main

    def interrupt():
        wait_until(lambda: under_way(tmp_path))
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt).start()
    line = [*map(str, RUNS), cluster.address, "--results-dir", str(tmp_path)]
    assert main(line) == 130
    folder = group_in(tmp_path)
    words = f"--resume {folder} --backend dask --scheduler {cluster.address}"
    assert capfd.readouterr().err == f"stopped; go on with: python main.py {words}\n"
    commands.call("--resume", folder)
    same_to_the_bit(folder, undisturbed)


@without_dask
def test_a_run_that_dask_gives_up_does_not_hang_the_program(cluster):
    """joblib never hears of a task whose worker died four times."""

    def call(name):
        import os
        import signal

        if name == "bad":
            os.kill(os.getpid(), signal.SIGKILL)
        return name, "done"

    stop = workers.StopAll()
    with workers.connect(cluster.address) as client:
        with pytest.raises(workers.BrokenProcessPool):
            list(workers.on_cluster(client, call, [("bad",)], stop))
        assert list(workers.on_cluster(client, call, [("a",)], stop)) == [("a", "done")]


@without_dask
def test_workers_of_several_threads_and_none_at_all_are_sentences(
    own_cluster, tmp_path, capfd, monkeypatch
):
    from main import main

    monkeypatch.setattr(workers, "WORKERS_WITHIN", 1.0)
    line = f"--dataset digits --trials 2 --backend dask --scheduler {own_cluster.address}"
    line += f" --results-dir {tmp_path / 'results'}"
    assert "has no workers: start some by `dask worker tcp://" in fails(main, line, capfd)
    monkeypatch.undo()
    own_cluster.start_worker("--nthreads", 2)
    assert "has workers of several threads" in fails(main, line, capfd)
    assert not (tmp_path / "results").exists()


@without_dask
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1", "post://somewhere:80"])
def test_an_unreachable_scheduler_is_a_sentence_within_seconds(address, tmp_path, capfd):
    from main import main

    began = time.monotonic()
    line = f"--dataset digits --trials 2 --backend dask --scheduler {address}"
    line += f" --results-dir {tmp_path}"
    assert f"--scheduler {address} cannot be reached (" in fails(main, line, capfd)
    assert time.monotonic() - began < 15 and list(tmp_path.iterdir()) == []


def test_without_dask_the_command_to_install_it_is_said(tmp_path, monkeypatch, capfd):
    from main import main

    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "distributed":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    line = "--dataset digits --trials 2 --backend dask --scheduler tcp://127.0.0.1:8786"
    message = fails(main, f"{line} --results-dir {tmp_path}", capfd)
    assert 'needs the package dask: pip install "dask[distributed]"' in message
    assert list(tmp_path.iterdir()) == []
