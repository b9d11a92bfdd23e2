"""Many runs on a real Dask cluster, on loopback: a scheduler and two workers of their own."""

import builtins
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import commands
import pytest
from commands import fails
from test_manyRuns import group_in, same_to_the_bit, times_begun
from test_manyRunsKilled import LONGER, under_way, wait_until

from runs import launch

pytestmark = pytest.mark.long

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
            list(map(str, command)),
            cwd=self.place,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"},
        )
        self.processes.append(process)
        return process

    def start_worker(self, *words):
        local = self.place / f"worker-{len(self.processes)}"
        return self.start("worker", "--local-directory", local, *(words or ("--nthreads", 1)))

    def wait_for_workers(self, n):
        from distributed import Client

        with Client(self.address, timeout=60) as client:
            client.wait_for_workers(n, timeout=60)

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
        made.wait_for_workers(2)
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
    cluster.wait_for_workers(2)
    monkeypatch.chdir(tmp_path)  # relative paths are those of the command, not of the workers
    commands.call(*RUNS, cluster.address, "--results-dir", "results")
    assert f"2 worker(s) of {cluster.address}, 1 thread(s) each" in capsys.readouterr().out
    same_to_the_bit(group_in(tmp_path / "results"), undisturbed)


def deadly():
    """A call as `launch.sent_as_code` makes one, whose run `bad` kills its worker every time."""
    root = str(commands.ROOT)

    def call(name, folder):
        import os
        import signal
        import sys
        from pathlib import Path

        if name == "bad":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.path.insert(0, root)
        from runs.launch import perform

        return perform(lambda: None, Path(folder))

    return call


@without_dask
def test_a_run_that_kills_its_worker_fails_and_no_other_does(cluster, tmp_path):
    tasks = {name: (name, str(tmp_path / name)) for name in ("a", "bad", "b", "c")}
    (tmp_path / "bad").mkdir()
    with launch.connect(cluster.address) as client, launch.Cluster(client) as launcher:
        ended = dict(launcher.results(deadly(), tasks, tmp_path))
    killed = "failed: its workers were killed (out of memory?)"
    assert ended == dict.fromkeys(tasks, "done") | {"bad": killed}
    assert {launch.status_of(tmp_path / name) for name in ("a", "b", "c")} == {"done"}
    assert launch.status_of(tmp_path / "bad") == killed


@without_dask
def test_what_a_worker_cannot_even_begin_is_a_failed_run(cluster, tmp_path):
    def call(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    with launch.connect(cluster.address) as client, launch.Cluster(client) as launcher:
        ended = dict(launcher.results(call, {"a": ("runs",)}, tmp_path))
    assert ended == {"a": "failed: ModuleNotFoundError: No module named 'runs'"}


@without_dask
def test_a_killed_worker_costs_nothing_but_time(cluster, undisturbed, tmp_path):
    """Dask lets another worker go on with its run."""
    cluster.wait_for_workers(2)  # an earlier test has killed one, which comes back
    with launch.connect(cluster.address) as client:
        pids = client.run(os.getpid)

    def kill():
        wait_until(lambda: len(under_way(tmp_path)) == 2)  # whoever dies has a run
        os.kill(min(pids.values()), signal.SIGKILL)

    thread = Thread(target=kill)
    thread.start()
    commands.call(*RUNS, cluster.address, "--results-dir", tmp_path)
    thread.join()
    folder = group_in(tmp_path)
    assert sorted(times_begun(folder).values()) == [1, 1, 1, 2]
    same_to_the_bit(folder, undisturbed)


@without_dask
def test_a_lost_scheduler_is_a_sentence_and_the_runs_go_on_here(
    own_cluster, undisturbed, tmp_path, capfd
):
    from main import main

    own_cluster.start_worker("--nthreads", 1, "--no-nanny")
    own_cluster.wait_for_workers(1)
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
def test_workers_of_several_threads_and_none_at_all_are_sentences(
    own_cluster, tmp_path, capfd, monkeypatch
):

    monkeypatch.setattr(launch, "WORKERS_WITHIN", 1.0)
    line = f"--dataset digits --trials 2 --backend dask --scheduler {own_cluster.address}"
    line += f" --results-dir {tmp_path / 'results'}"
    assert "has no workers: start some by `dask worker tcp://" in fails(line, capfd)
    monkeypatch.undo()
    own_cluster.start_worker("--nthreads", 2, "--no-nanny")
    own_cluster.wait_for_workers(1)
    assert "has workers of several threads" in fails(line, capfd)
    assert not (tmp_path / "results").exists()


@without_dask
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1", "post://somewhere:80"])
def test_an_unreachable_scheduler_is_a_sentence(address, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(launch, "ANSWERS_WITHIN", 0.5)
    not_reached(address, tmp_path, capfd)


@without_dask
def test_what_listens_and_never_answers_is_not_waited_for(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(launch, "ANSWERS_WITHIN", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        not_reached(f"tcp://127.0.0.1:{server.getsockname()[1]}", tmp_path, capfd)


def not_reached(address, place, capfd):

    line = f"--dataset digits --trials 2 --backend dask --scheduler {address}"
    message = fails(f"{line} --results-dir {place}", capfd)
    assert f"--scheduler {address} cannot be reached (" in message
    assert list(place.iterdir()) == []


def test_without_dask_the_command_to_install_it_is_said(tmp_path, monkeypatch, capfd):

    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "distributed":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    line = "--dataset digits --trials 2 --backend dask --scheduler tcp://127.0.0.1:8786"
    message = fails(f"{line} --results-dir {tmp_path}", capfd)
    assert 'needs the package dask: pip install "dask[distributed]"' in message
    assert list(tmp_path.iterdir()) == []
