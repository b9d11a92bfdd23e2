"""Training: it learns, it is repeatable, and stopping it changes nothing but the clock."""

import csv
import itertools
import os
import platform
import shlex
import shutil
import signal
import time
from multiprocessing.process import BaseProcess

import commands
import pytest
import torch

from datasets import load_dataset
from errors import TrainingError
from main import main
from netClasses import EPcont, EPdisc, convEP, toyEPcont
from netFunctions import Schedule, evaluate, train
from networks.rules import Rule
from records.checkpoint import read_checkpoint
from runFolder import RunFolder
from solvers import settle_rule

pytestmark = pytest.mark.long

NETS = {  # with the phases and the rate with which they learn in two epochs
    "EPcont": (lambda: EPcont([10, 24, 64], dt=0.2), {"T": 40, "Kmax": 8, "beta": 0.5}, 0.3),
    "EPdisc": (lambda: EPdisc([10, 24, 64]), {"T": 20, "Kmax": 6, "beta": 0.2}, 0.3),
    "toy": (lambda: toyEPcont([10, 24, 64], "tanh"), {"T": 60, "Kmax": 30, "beta": 0.5}, 0.1),
    "convEP": (
        lambda: convEP([10], [16, 1], (8, 8), "sigm", Fconv=3),
        {"T": 40, "Kmax": 10, "beta": 0.4},
        0.3,
    ),
}


@pytest.fixture(scope="module")
def digits():
    torch.set_num_threads(1)
    return load_dataset("digits", "data")


def schedule(lr_tab, **changes) -> Schedule:
    plan = {"T": 6, "Kmax": 3, "beta": 0.5, "lr_tab": lr_tab, "batch_size": 100, "epochs": 2}
    return Schedule(**(plan | changes))


@pytest.mark.parametrize("method", ["EP", "BPTT"])
@pytest.mark.parametrize("name", NETS)
def test_every_network_learns_by_both_methods(name, method, digits, tmp_path):
    build, phases, rate = NETS[name]
    net = build()
    plan = schedule([rate] * len(net.synapses), batch_size=20, **phases)
    before = evaluate(net, digits.test, plan).error
    rows = train({method: net}, digits, plan, RunFolder(tmp_path))
    assert rows[-1]["test_error"] < 0.5 * before
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize("name", NETS)
def test_on_line_figures_are_those_of_the_free_phase(name, digits, tmp_path):
    """With a rate of almost nothing the on-line error is the error of the untaught network."""
    build, phases, _ = NETS[name]
    net = build()
    plan = schedule([1e-30] * len(net.synapses), epochs=1, batch_size=64, **phases)
    row = train({"EP": net}, digits, plan, RunFolder(tmp_path))[0]
    whole = evaluate(net, digits.train, plan)
    assert row["train_error"] == pytest.approx(whole.error)
    assert row["loss"] == pytest.approx(whole.loss, rel=1e-5)


def test_both_methods_start_from_the_same_weights(tmp_path):
    """With a rate of almost nothing they stay there, and both measure the same."""
    words = ["--benchmark", "--lr_tab", 1e-30, "--seed", 3, *commands.SMALL]
    commands.call(*words, "--results-dir", tmp_path)
    ep, bptt = comparable(commands.only_run(tmp_path))[0]
    assert ep.pop("products") != bptt.pop("products")
    assert (ep.pop("method"), bptt.pop("method")) == ("EP", "BPTT") and ep == bptt
    kept = read_checkpoint(commands.only_run(tmp_path) / "checkpoint.pt")["weights"]
    first = EPcont([10, 16, 64], dt=0.2, seed=3).state_dict()
    for weights in kept.values():
        assert all(torch.equal(weights[name], first[name]) for name in first)


def test_both_methods_see_the_same_batches_in_an_order_of_their_own_for_each_epoch(
    digits, tmp_path
):
    seen = {"EP": [], "BPTT": []}

    def watched(method):
        net = EPdisc([10, 16, 64])
        rule = net.rules[method]

        def learn(net, data, *others):
            seen[method].append(data.clone())
            return rule.learn(net, data, *others)

        net.rules = {method: rule._replace(learn=learn)}
        return net

    train({name: watched(name) for name in seen}, digits, schedule([0.1, 0.1]), RunFolder(tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(*seen.values(), strict=True))
    epochs = [torch.cat(seen["EP"][k : k + 15]) for k in (0, 15)]
    assert not torch.equal(*epochs)
    assert torch.equal(*(epoch.sum(0) for epoch in epochs))  # the same samples


def comparable(folder):
    """All numbers of a run but the clock's: rows, weights and notes."""
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    for row in rows:
        row.pop("seconds")
    state = read_checkpoint(folder / "checkpoint.pt")
    weights = {f"{m}.{k}": v for m, net in state["weights"].items() for k, v in net.items()}
    return rows, weights, state["progress"]["notes"]


def assert_equal_runs(one, other):
    rows, weights, notes = comparable(one)
    other_rows, other_weights, other_notes = comparable(other)
    assert rows == other_rows and notes == other_notes
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(weights[key], other_weights[key]) for key in weights)


LONGER = [*commands.SMALL, "--train-samples", 120, "--batch-size", 2, "--benchmark", "--seed", 5]
BATCHES = 60  # of an epoch


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    results = tmp_path_factory.mktemp("undisturbed")
    commands.call(*LONGER, "--epochs", 3, "--results-dir", results)
    return commands.only_run(results)


def test_the_same_command_gives_the_same_numbers(undisturbed, tmp_path):
    words = [*LONGER, "--epochs", 3, "--no-figures", "--results-dir", tmp_path]
    process = commands.start(commands.program, words)
    process.join()
    assert process.exitcode == 0
    assert_equal_runs(undisturbed, commands.only_run(tmp_path))


def start_and_wait(results, rows: int, epochs: int = 3) -> BaseProcess:
    """Start the long run; hold it when metrics.csv has so many rows and the next epoch goes on."""
    words = [*LONGER, "--epochs", epochs, "--results-dir", results]
    process = commands.start(commands.program, words, str(results / "said.txt"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = list(results.glob("*/*/*/metrics.csv"))
        if found and len(found[0].read_text().splitlines()) >= 1 + rows:
            time.sleep(0.05)
            os.kill(process.pid, signal.SIGSTOP)
            return process
        assert process.is_alive(), (results / "said.txt").read_text()
        time.sleep(0.01)
    raise AssertionError("the run did not get there in time")


@pytest.mark.parametrize("rows", [0, 3])
def test_resuming_after_sigkill_changes_nothing(rows, undisturbed, tmp_path, capfd):
    """Beside the running process it is refused; the lock that a dead one leaves is taken over."""
    process = start_and_wait(tmp_path, rows)
    folder = commands.only_run(tmp_path)
    message = commands.fails(f"--resume {folder}", capfd)
    assert f"process {process.pid} on {platform.node()} is at work in {folder}" in message
    process.kill()
    process.join()
    assert str(process.pid) in (folder / "lock").read_text()
    assert (folder / "metrics.csv").read_text().count("\n") < 7, "it was over before it was killed"
    commands.call("--resume", folder)
    assert_equal_runs(undisturbed, folder)
    assert not (folder / "lock").exists()


@pytest.mark.parametrize("left", ["", "metrics.csv results.npz"])
def test_a_run_killed_before_its_first_checkpoint_begins_again(left, tmp_path):
    """What is there at that moment: the options, and perhaps a table without rows."""
    commands.call(*commands.SMALL, "--epochs", 2, "--benchmark", "--results-dir", tmp_path)
    whole, folder = commands.only_run(tmp_path), tmp_path / "killed"
    folder.mkdir()
    for file in ["hyperparameters.json", *left.split()]:
        shutil.copy(whole / file, folder)
    if left:
        header = (whole / "metrics.csv").read_text().splitlines(keepends=True)[0]
        (folder / "metrics.csv").write_text(header)
    commands.call("--resume", folder)
    assert_equal_runs(whole, folder)
    assert (folder / "plotFunctions.py").exists()


def test_resuming_without_options_or_with_results_but_no_checkpoint_is_refused(tmp_path, capfd):
    assert "is no folder of a run" in commands.fails(f"--resume {tmp_path}", capfd)
    commands.call(*commands.SMALL, "--epochs", 1, "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    (folder / "checkpoint.pt").unlink()
    rows = (folder / "metrics.csv").read_text()
    assert "no checkpoint at" in commands.fails(f"--resume {folder}", capfd)
    assert (folder / "metrics.csv").read_text() == rows


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_batches_done(number, undisturbed, tmp_path, monkeypatch, capsys):
    taught, learn = itertools.count(1), EPcont.learn

    def learn_and_be_stopped(*args):
        result = learn(*args)
        if next(taught) == BATCHES + 50:  # in the second epoch
            os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(EPcont, "learn", learn_and_be_stopped)
    assert (
        main([*map(str, LONGER), "--epochs", "3", "--results-dir", str(tmp_path)]) == 128 + number
    )
    folder = commands.only_run(tmp_path)
    assert f"go on with: python main.py --resume {folder}" in capsys.readouterr().err
    progress = read_checkpoint(folder / "checkpoint.pt")["progress"]
    assert (progress["epoch"], progress["batch"]) == (2, 50)
    assert len(progress["record"]["loss"]) == BATCHES
    commands.call("--resume", folder)
    assert_equal_runs(undisturbed, folder)


def test_a_process_that_gets_a_signal_draws_its_figures_and_prints_how_to_go_on(tmp_path):
    process = start_and_wait(tmp_path, 1, epochs=100)
    process.terminate()
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    folder, message = commands.only_run(tmp_path), (tmp_path / "said.txt").read_text()
    assert process.exitcode == 128 + signal.SIGTERM
    assert f"go on with: python main.py --resume {folder}" in message
    assert "Traceback" not in message
    assert (folder / "results.png").exists()


def test_resuming_can_lengthen_a_run(undisturbed, tmp_path):
    commands.call(*LONGER, "--epochs", 1, "--results-dir", tmp_path)
    commands.call("--resume", commands.only_run(tmp_path), "--epochs", 3)
    assert_equal_runs(undisturbed, commands.only_run(tmp_path))


def test_a_recorded_run_is_repeated_from_its_json(undisturbed, tmp_path):
    commands.call("--config", undisturbed / "hyperparameters.json", "--results-dir", tmp_path)
    assert_equal_runs(undisturbed, commands.only_run(tmp_path))


def test_evaluate_gives_the_error_of_the_last_epoch(undisturbed):
    printed = commands.call("--action", "evaluate", "--load", undisturbed / "checkpoint.pt")
    last = comparable(undisturbed)[0][-2:]
    for row in last:
        assert f"{row['method']}: test error {float(row['test_error']):.2f} %" in printed


def test_a_loss_that_is_not_finite_names_epoch_and_batch(digits, tmp_path):
    net = EPdisc([10, 16, 64], "tanh")
    plan = schedule([0.1, 0.1], epochs=2)
    run = RunFolder(tmp_path)
    train({"EP": net}, digits, schedule([0.1, 0.1], epochs=1), run)
    good = read_checkpoint(tmp_path / "checkpoint.pt")
    batches = []

    def break_in_batch_four(net, data, *others):
        batches.append(len(data))
        if len(batches) == 4:
            net.weights[0].data.fill_(float("nan"))
        return whole.learn(net, data, *others)

    whole = net.rules["EP"]
    net.rules = {"EP": Rule(break_in_batch_four)}
    with pytest.raises(TrainingError, match=r"EP .* epoch 2, batch 4: lower --lr_tab"):
        train({"EP": net}, digits, plan, run, checkpoint=good)
    kept = read_checkpoint(tmp_path / "checkpoint.pt")
    assert kept["progress"]["epoch"] == 2
    assert all(torch.equal(v, good["weights"]["EP"][k]) for k, v in kept["weights"]["EP"].items())


def test_rates_too_high_end_with_a_sentence(tmp_path, capfd):
    """--no-clamp with huge rates overflows in truth: one line, status 2, numbers so far kept."""
    line = shlex.join([*commands.SMALL, "--results-dir", str(tmp_path)])
    line += " --no-clamp --activation-function hardsigm --lr_tab 1e38 1e38"
    assert "not finite in epoch 1, batch" in commands.fails(line, capfd)
    assert read_checkpoint(commands.only_run(tmp_path) / "checkpoint.pt")["progress"]["epoch"] == 1


def oscillating(Kmax, capfd, tmp_path, digits):
    """Layers that inhibit each other: started alike, both go on and off together for ever."""
    net = EPdisc([10, 16, 64])
    with torch.no_grad():
        net.weights[0].zero_().fill_diagonal_(-3.0)
        net.weights[1].zero_()
        for bias in net.biases:
            bias.fill_(1.5)
    plan = schedule([1e-30, 1e-30], epochs=1, T=21, Kmax=Kmax)
    train({"EP": net}, digits, plan, RunFolder(tmp_path))
    return evaluate(net, digits.test, plan), capfd.readouterr().err


@pytest.mark.parametrize("Kmax, warned", [(3, True), (4, False)])
def test_period_two_with_an_odd_kmax_is_said(Kmax, warned, capfd, tmp_path, digits):
    result, message = oscillating(Kmax, capfd, tmp_path, digits)
    assert result.measures["oscillating"] == 100 and result.measures["residual"] > 0.5
    assert ("oscillation of period 2" in message) is warned


def test_tol_ends_a_phase_at_equilibrium(digits):
    net = EPcont([10, 16, 64], dt=0.2)
    data, _ = digits.test.batch(slice(0, 50))
    with torch.no_grad():
        drive = net.drive(data)
        steps = []
        rest = net(drive, net.initHidden(drive), 400)
        settled = settle_rule(1e-4)
        early = net(
            drive,
            net.initHidden(drive),
            400,
            observe=lambda t, a, b: steps.append(t) or settled(t, a, b),
        )
    assert len(steps) < 200
    assert max((a - b).abs().max() for a, b in zip(rest, early, strict=True)) < 1e-3
