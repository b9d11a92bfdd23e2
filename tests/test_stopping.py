"""A signal within a phase is granted at once, and the run goes on as if there had been none."""

import csv
import os
import signal

import commands
import pytest
import torch

from commandLine import parse
from main import main
from netFunctions import evaluate
from process import NEVER, StopRequest
from records.checkpoint import read_checkpoint
from runs import setup
from runs.setup import STEP_OF_TEST, build_network, load_data, schedule_of

LINES = {
    "both rules": "--dataset digits --size_tab 10 8 64 --T 6 --Kmax 3 --train-samples 100 "
    "--batch-size 100 --benchmark",
    "persistent": "--dataset wine --network-type SW_no_intra --size_tab 3 5 5 13 --batch-size 50 "
    "--test-batch-size 10",
    "persistent steps": "--dataset wine --network-type MLFF --size_tab 3 5 13 --T 6 --Kmax 3 "
    "--batch-size 50 --test-batch-size 10",
    "DEEP": "--training-method DEEP --dataset xor --T 60 --Kmax 60",
    "no phases": "--dataset digits --architecture dense --training-method EBP "
    "--train-samples 30 --batch-size 20",
}
EPOCHS = ["--epochs", "2", "--threads", "1"]


def results(folder) -> tuple[list, dict, dict]:
    """What a run leaves, without its seconds."""
    with (folder / "metrics.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    state = read_checkpoint(folder / "checkpoint.pt")
    return rows, state["weights"], state["particles"]


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("name", LINES)
def test_a_run_stopped_within_a_phase_goes_on_to_the_bit(name, tmp_path, monkeypatch):
    words, grant, looks = [*LINES[name].split(), *EPOCHS], StopRequest.grant, []

    def counted(request):
        if request is not NEVER:
            looks.append(request)
            if len(looks) == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
        grant(request)

    monkeypatch.setattr(StopRequest, "grant", counted)
    stop_at = 0
    commands.call(*words, "--results-dir", tmp_path / "whole")
    expected, n_looks = results(commands.only_run(tmp_path / "whole")), len(looks)
    assert n_looks >= 2
    for n in (1, n_looks // 2, n_looks):  # the last one in a test
        place, stop_at = tmp_path / str(n), n
        looks.clear()
        assert main([*words, "--results-dir", str(place)]) == 128 + signal.SIGTERM
        assert len(looks) == n
        looks.clear()
        stop_at = 0
        commands.call("--resume", commands.only_run(place))
        assert looks and same(results(commands.only_run(place)), expected), n


def test_an_evaluation_afterwards_is_stopped_by_nothing(tmp_path):
    from datasets import load_dataset
    from netClasses import EPcont
    from netFunctions import Schedule, train
    from runFolder import RunFolder

    net, data = EPcont([3, 5, 13]), load_dataset("wine", None)
    train({"EP": net}, data, Schedule(2, 1, 0.5, [0.1, 0.1]), RunFolder(tmp_path))
    assert net.stopping is NEVER


@pytest.mark.parametrize(
    "words, parted",
    [
        ("--solver relax", False),
        ("--size_tab 10 4000 1000 64 --lr_tab 0.1", True),
        ("--size_tab 10 4000 1000 64 --lr_tab 0.1 --solver step --tol 0.1", False),
        ("--C_tab 128 64 1 --Fconv 3 --padding --size_tab 10", True),
        ("--architecture deep --training-method EBP", True),
        ("--architecture loccon --training-method EBP --test-batch-size 99", False),
    ],
)
def test_what_is_tested_at_a_time_is_soon_over(words, parted):
    words = ["--dataset", "digits", "--test-batch-size", "10000", *words.split()]
    args, data = load_data(parse(words))
    net = build_network(args, data)
    size = schedule_of(args, net).test_batch_size
    assert parted == (size < args.test_batch_size)
    if parted:  # into the fewest even parts
        assert size * net.multiplications <= STEP_OF_TEST < 1.5 * size * net.multiplications
        assert -size < 10_000 - size * -(-10_000 // size) <= 0


def test_parts_of_a_test_answer_as_the_whole(monkeypatch):
    words = "--dataset digits --C_tab 4 2 1 --Fconv 3 --padding --size_tab 10"
    args, data = load_data(parse(words.split()))
    net = build_network(args, data)
    whole = evaluate(net, data.test, schedule_of(args, net))
    monkeypatch.setattr(setup, "STEP_OF_TEST", 50 * net.multiplications)
    plan = schedule_of(args, net)
    parts = evaluate(net, data.test, plan)
    assert plan.test_batch_size == 50
    assert parts.error == whole.error and parts.loss == pytest.approx(whole.loss, rel=1e-6)
