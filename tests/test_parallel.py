"""Several processes teach what one process teaches, on this machine.

A start of torchrun imports torch twice and more. One test needs it; the others start processes in
the surroundings that it would give them.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from commands import ROOT, call, speak_into, start

import parallel
from main import main
from parallel import ALONE, Team

pytestmark = [
    pytest.mark.skipif(not dist.is_available(), reason="torch without torch.distributed"),
    pytest.mark.long,
]

COMMON = "--dtype float64 --quiet --threads 1 --seed 3 --no-figures"
WRONG = "--dataset digits --batch-size 1"  # for two
DIGITS = "--dataset digits --train-samples 230"  # the last batch is smaller
CASES = {  # odd batch sizes, so that the shares are unequal
    "energy-based EP and BPTT": f"{DIGITS} --size_tab 10 16 64 --T 6 --Kmax 3 "
    "--batch-size 101 --benchmark --train-error full",
    "prototypical, persistent": f"{DIGITS} --discrete --size_tab 10 16 12 64 --lr_tab 0.1 "
    "--T 6 --Kmax 3 --batch-size 101 --beta-sign random --persistent --train-error full --epochs 2",
    "convolutional": f"{DIGITS} --C_tab 4 1 --Fconv 3 --lr_tab 0.1 --T 6 --Kmax 3 "
    "--batch-size 101 --benchmark",
    "prototypical by Adam": f"{DIGITS} --discrete --size_tab 10 16 64 --T 6 --Kmax 3 "
    "--batch-size 101 --benchmark --optimizer adam --weight-decay 0.1 --schedule cosine",
    "prototypical, relaxed": f"{DIGITS} --discrete --size_tab 10 16 12 64 --lr_tab 0.1 "
    "--batch-size 101 --beta 0.5 --beta-sign both --benchmark --train-error full",
    "small world": "--dataset wine --train-samples 62 --network-type SW_no_intra "
    "--size_tab 3 10 10 10 13 --T 20 "
    "--Kmax 5 --batch-size 5 --train-error full --epochs 2",
    "DEEP": "--training-method DEEP --dataset xor --T 50 --Kmax 50 --num_net 3 --sparse --epochs 2",
    "asymmetric EP": f"--training-method asymEP {DIGITS} --T 20 --Kmax 20 --num_net 2 --epochs 2",
    "conv, BrainProp and EBP": f"{DIGITS} --architecture conv --benchmark --epsilon 0.3 --epochs 1",
    "loccon": f"{DIGITS} --architecture loccon --training-method BrainProp --epochs 1 "
    "--batch-size 101 --optimizer nesterov",
    "deep": f"{DIGITS} --architecture deep --training-method BrainProp --epochs 1",
}
LONG = "--dataset digits --size_tab 10 64 64 --T 60 --Kmax 10 --persistent --epochs 3"
LONG += " --dtype float64 --quiet --threads 1"


def member(rank: int, port: int, lines: list[str], output: str) -> None:
    """A process of a job of two, which does commands one after the other until one fails."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    speak_into(output)
    take_leave, parallel.part = parallel.part, lambda: None  # the next command needs the other
    for line in lines:
        status = main(shlex.split(line))
        if status:
            sys.exit(status)
    take_leave()


class Job:
    """Two processes that meet in this one, as those of torchrun meet in its own."""

    def __init__(self, lines: list[str], output: Path) -> None:
        self.store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.output = output
        self.members: list[BaseProcess] = [
            start(member, rank, self.store.port, lines, str(output)) for rank in range(2)
        ]

    def end(self) -> tuple[list[int | None], str]:
        """The exit statuses, and what both have said."""
        for process in self.members:
            process.join()
        return [process.exitcode for process in self.members], self.output.read_text()


def several_runs(place: Path) -> list[str]:
    """The command lines of all cases."""
    return [f"{case} {COMMON} --results-dir '{place / name}'" for name, case in CASES.items()]


def checkpoint_in(place: Path) -> dict:
    (path,) = place.glob("*/*/*/checkpoint.pt")
    return torch.load(path, weights_only=True)


def largest_difference(a, b, but: tuple[str, ...] = ("seconds",)) -> float:
    """Between two checkpoints, whatever they are made of; what is no number must be the same.

    but: names that are not compared.
    """
    if isinstance(a, torch.Tensor):
        assert a.shape == b.shape and a.dtype == b.dtype
        return (a.double() - b.double()).abs().max().item() if a.numel() else 0.0
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        parts = [largest_difference(a[name], b[name], but) for name in a if name not in but]
        return max(parts, default=0.0)
    if isinstance(a, list | tuple):
        pairs = zip(a, b, strict=True)
        return max((largest_difference(v, w, but) for v, w in pairs), default=0.0)
    if isinstance(a, float):
        return abs(a - b)
    assert a == b
    return 0.0


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One folder of results by one process, one by two of them; and what these said at last."""
    place = tmp_path_factory.mktemp("teams")
    for line in several_runs(place / "one"):
        call(*shlex.split(line))
    lines = [*several_runs(place / "two"), f"{WRONG} --results-dir '{place / 'wrong'}'"]
    statuses, said = Job(lines, place / "said.txt").end()
    assert (place / "two" / list(CASES)[-1]).exists(), said
    return place, statuses, said


@pytest.mark.parametrize("name", CASES)
def test_two_processes_teach_what_one_teaches(results, name):
    """And count as many products per sample; but a relaxed share may rest before the others do."""
    but = ("seconds", "products") if "relaxed" in name else ("seconds",)
    one, two = (checkpoint_in(results[0] / number / name) for number in ("one", "two"))
    for part in ("weights", "particles", "best", "progress"):
        assert largest_difference(one[part], two[part], but) < 1e-6, part


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    call(*LONG.split(), "--results-dir", place)
    return checkpoint_in(place)


def wait_for_a_checkpoint(place: Path, under_way: Callable[[], bool]) -> None:
    while not list(place.glob("*/*/*/checkpoint.pt")):
        assert under_way()
        time.sleep(0.05)


def killed_worker(place: Path) -> tuple[int | None, str]:
    """The status and the words of a job of which one process is killed."""
    job = Job([f"{LONG} --results-dir '{place}'"], place / "said.txt")
    wait_for_a_checkpoint(place, job.members[0].is_alive)
    job.members[1].kill()
    (status, _), said = job.end()
    return status, said


def torchrun(words: list[str], output: str) -> None:
    """torchrun itself, in a process that has imported it."""
    from torch.distributed.run import main

    speak_into(output)
    main(words)


def ended_job(place: Path) -> tuple[int | None, str]:
    """The same of one that torchrun has started, and that is ended with it."""
    words = ["--nproc-per-node", "2", "--standalone", str(ROOT / "main.py"), *LONG.split()]
    job = start(torchrun, [*words, "--results-dir", str(place)], str(place / "said.txt"))
    wait_for_a_checkpoint(place, job.is_alive)
    job.terminate()
    job.join()
    return job.exitcode, (place / "said.txt").read_text()


@pytest.mark.parametrize(
    "end, reason",
    [
        (killed_worker, "another process of this job has ended"),
        (ended_job, "stopped after epoch"),
    ],
)
def test_a_job_that_was_ended_goes_on(tmp_path, undisturbed, end, reason):
    status, said = end(tmp_path)
    assert status != 0
    assert said.count("results in") == 1  # one process speaks
    (folder,) = tmp_path.glob("*/*/*")
    assert reason in said
    assert f"torchrun --nproc-per-node 2 main.py --resume {folder}" in said
    call("--resume", folder, "--quiet", "--threads", 1)  # one process finishes it
    finished = checkpoint_in(tmp_path)
    for part in ("weights", "particles", "progress"):
        assert largest_difference(finished[part], undisturbed[part]) < 1e-6, part


def test_a_mistake_is_told_once(results):
    _, statuses, said = results
    assert all(statuses)
    assert said.count("main.py: error") == 1
    assert "--batch-size 1: a batch of 1 samples cannot be shared by 2 processes" in said


@pytest.mark.parametrize("words", ["--action receipe", "--trials 2"])
def test_torchrun_is_for_training(monkeypatch, capsys, words):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # how a process knows who has started it
    monkeypatch.setenv("RANK", "0")
    assert main(["--dataset", "digits", *words.split()]) == 2
    assert "torchrun is for training one network" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["--T 30 --tol 0.1", "--training-method DEEP --stop 0.1"])
def test_a_phase_ends_alike_for_all(monkeypatch, capsys, words):
    monkeypatch.setattr("runs.train.form_team", lambda device: Team(0, 2))
    assert main(["--dataset", "digits", *words.split()]) == 2
    assert "--tol and --stop end a phase by the states of the whole" in capsys.readouterr().err


def test_shares_are_all_there_is():
    for size in (1, 2, 3, 7):
        for n in (7, 8, 100):
            rows = [list(range(n))[Team(rank, size).share(n)] for rank in range(size)]
            assert sum(rows, []) == list(range(n))
            assert max(map(len, rows)) - min(map(len, rows)) <= 1
        places = [Team(rank, size).places(50, 15) for rank in range(size)]
        assert torch.cat(places).sort().values.tolist() == list(range(50))
        counts = [Team(rank, size).n_stored(50, 15) for rank in range(size)]
        assert counts == list(map(len, places))


def test_stored_spans_are_what_places_says():
    team, order = Team(1, 2), torch.arange(50)
    stored = order[team.places(50, 15)]
    for k in range(4):
        batch = order[15 * k : 15 * (k + 1)]
        assert stored[team.stored_span(k, 15)].tolist() == batch[team.share(len(batch))].tolist()


def test_alone_nothing_is_shared():
    x = torch.randn(5, 3)
    assert ALONE.deal(x)[0] is x
    assert ALONE.cut(x) is x
    assert ALONE.total(x) is x
    assert ALONE.whole_shape(x.shape) == [5, 3]
    assert ALONE.weight == 1.0
