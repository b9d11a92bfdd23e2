"""BrainProp and EBP as commands: data, validation, early end, the published command line."""

import csv

import commands
import pytest
import torch
from commands import options, refuses

from datasets import hold_out, load_dataset
from errors import DataError
from netFunctions import Schedule, evaluate, train
from networks.architectures import build_classifier
from records.checkpoint import read_checkpoint
from runFolder import RunFolder
from systems.brainprop import BRAINPROP

pytestmark = pytest.mark.long

RUN = ["--dataset", "digits", "--architecture", "conv", "--batch-size", 64, "--threads", 1]
RUN += ["--train-samples", 600]


def rows_of(folder):
    return list(csv.DictReader((folder / "metrics.csv").open()))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    results = tmp_path_factory.mktemp("brainprop")
    with commands.drawing():
        commands.call(*RUN, "--benchmark", "--epochs", 4, "--results-dir", results)
    return commands.only_run(results)


def test_both_rules_start_alike_and_are_recorded(both):
    rows = rows_of(both)
    assert [row["method"] for row in rows] == ["BrainProp", "EBP"] * 4
    assert all(0 <= float(row["validation_error"]) <= 100 for row in rows)
    assert float(rows[-1]["train_error"]) < float(rows[1]["train_error"])
    assert {"accuracy.png", "results.png"} <= {path.name for path in both.iterdir()}
    one, other = (build_classifier("conv", (1, 8, 8), 10, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.kernels, other.kernels, strict=True))


def test_the_best_weights_are_kept_beside_the_last(both, capsys):
    state = read_checkpoint(both / "checkpoint.pt")
    best = state["progress"]["best"]["EBP"]
    rows = [row for row in rows_of(both) if row["method"] == "EBP"]
    assert float(rows[best["epoch"] - 1]["validation_error"]) == pytest.approx(best["error"])
    commands.call("--action", "evaluate", "--load", both / "checkpoint.pt")
    printed = capsys.readouterr().out
    assert f"EBP: test error {float(rows[-1]['test_error']):.2f} %" in printed
    kept = float(rows[best["epoch"] - 1]["test_error"])
    assert f"EBP, best epoch: test error {kept:.2f} %" in printed


def test_resuming_equals_not_stopping(both, tmp_path):
    commands.call(*RUN, "--benchmark", "--epochs", 2, "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    commands.call("--resume", folder, "--epochs", 4)
    one, other = (read_checkpoint(f / "checkpoint.pt") for f in (both, folder))
    for kind in ("weights", "best"):
        for method, state in one[kind].items():
            assert all(torch.equal(v, other[kind][method][k]) for k, v in state.items())


def test_training_ends_after_so_many_epochs_without_a_gain(tmp_path):
    data = load_dataset("digits", None)
    net = build_classifier("dense", data.shape, 10)
    plan = Schedule(1, 1, 1.0, [1e-12], batch_size=500, epochs=50, patience=3)
    rows = train({"EBP": net}, data, plan, RunFolder(tmp_path))
    assert len(rows) == 4  # the first is the best, three more bring nothing
    assert read_checkpoint(tmp_path / "checkpoint.pt")["progress"]["over"] == ["EBP"]


def test_the_rate_is_halved():
    plan = Schedule(1, 1, 1.0, [0.1], halve_every=100)
    assert [plan.at(epoch).lr_tab[0] for epoch in (1, 100, 101, 201)] == [0.1, 0.1, 0.05, 0.025]


def test_validation_takes_from_the_training_data_only():
    data = load_dataset("digits", None)
    held = hold_out(data, 0.1, seed=1)
    assert len(held.validation) == 150 and len(held.train) == 1350
    assert held.test is data.test
    assert not torch.equal(held.validation.y, hold_out(data, 0.1, seed=2).validation.y)
    with pytest.raises(DataError, match="leaves nothing"):
        hold_out(data, 0.0001, seed=1)


def test_validation_on_the_test_data_is_the_published_way_and_recorded(tmp_path):
    words = ["--dataset", "digits", "--training-method", "BrainProp", "--epochs", 1]
    commands.call(*words, "--validation", "test", "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    assert "validation_error" not in rows_of(folder)[0]
    assert "- validation: test" in (folder / "hyperparameters.txt").read_text()


def test_error_and_loss_are_those_of_the_answers(tmp_path):
    data = load_dataset("digits", None)
    net = build_classifier("dense", data.shape, 10)
    plan = Schedule(1, 1, 1.0, [0.1], batch_size=128, test_batch_size=100)
    result = evaluate(net, data.test, plan, "EBP")
    x, target = data.test.batch(slice(0, len(data.test)))
    with torch.no_grad():
        answer = net.eval()(x).softmax(1)
    wrong = (answer.argmax(1) != target.argmax(1)).double().mean()
    assert result.error == pytest.approx(100 * wrong.item())
    squares = (answer - target).square().sum(1).mean().item() / 2
    assert result.loss == pytest.approx(squares, rel=1e-5)


@pytest.mark.parametrize(
    "line, expected",
    [
        ("MNIST dense EBP", ("mnist", "dense", "EBP", 128)),
        ("CIFAR10 conv BrainProp -s", ("cifar10", "conv", "BrainProp", 128)),
        ("CIFAR100 loccon EBP", ("cifar100", "loccon", "EBP", 32)),
        ("TinyImageNet deep BrainProp", ("tiny-imagenet", "deep", "BrainProp", 128)),
    ],
)
def test_the_published_command_line_stands_for_all_its_settings(line, expected):
    args = options(line)
    names = ("dataset", "architecture", "training_method", "batch_size")
    assert tuple(args[name] for name in names) == expected
    assert (args["lr_tab"], args["epochs"], args["patience"]) == ([0.1], 500, 45)
    assert (args["halve_every"], args["epsilon"], args["validation"]) == (100, 0.02, "0.1")


def test_the_published_command_line_runs_and_loads(tmp_path, capsys):
    place = commands.small_mnist(tmp_path)
    words = ["MNIST", "dense", "BrainProp", "-s", "--data-dir", place, "--epochs", 1]
    commands.call(*words, "--results-dir", tmp_path / "results")
    weights = commands.only_run(tmp_path / "results") / "checkpoint.pt"
    capsys.readouterr()
    commands.call("MNIST", "dense", "BrainProp", "-l", weights)
    assert "BrainProp: test error" in capsys.readouterr().out


def test_the_presets_are_the_papers_pairs():
    assert len(BRAINPROP.presets) == 10
    args = options("--preset brainprop-cifar10-deep")
    assert (args["dataset"], args["architecture"]) == ("cifar10", "deep")


@pytest.mark.parametrize("architecture", ["dense", "conv", "loccon"])
def test_every_net_trains_where_it_fits(architecture, tmp_path):
    words = ["--dataset", "digits", "--architecture", architecture, "--benchmark", "--epochs", 1]
    commands.call(*words, "--batch-size", 250, "--results-dir", tmp_path)
    assert len(rows_of(commands.only_run(tmp_path))) == 2


WRONG = {
    "--architecture conv": "--architecture nets learn by --training-method BrainProp or EBP",
    "--training-method EBP --T 5": "--T is not used by the feedforward network",
    "--epsilon 0.1": "--epsilon is not used by the energy-based network",
    "--training-method BrainProp --epsilon 2": "'2' is not a number from 0 to 1",
    "--training-method BrainProp --validation 1.5": "between 0 and 1, or test",
    "--dataset digits --training-method EBP --lr_tab 0.1 0.2": "these nets learn with one rate",
    "--dataset wine --training-method BrainProp --architecture conv": "conv needs images",
    "--dataset digits --training-method EBP --architecture loccon --action receipe": "equilibrium",
    "MNIST dense": "the following arguments are required: algorithm",
    "MNIST tree BrainProp": "invalid choice: 'tree'",
    "CIFAR10 conv BrainProp -l nowhere.pt": "--load: no checkpoint at nowhere.pt",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_one_line_and_writes_nothing(line, place, capfd):
    refuses(line, WRONG[line], capfd)
