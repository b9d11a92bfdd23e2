"""Directed EP as commands: what is recorded, printed and drawn, and what is refused."""

import csv
import shlex

import commands
import numpy as np
import pytest
import torch
from commands import options, refuses

from datasets import LOGIC, load_dataset, one_hot
from netFunctions import Schedule
from networks.directed import DEEP
from networks.directedReport import decision_map, first_epoch, report
from networks.directedRules import learn_by_directed
from records.checkpoint import read_checkpoint
from systems.directed import ASYMMETRIC
from systems.directed import DEEP as DEEP_SYSTEM

pytestmark = pytest.mark.long

FAST = ["--T", 100, "--Kmax", 60, "--dt", 0.25, "--beta", 2, "--dt_W", 10, "--threads", 1]
RUN = ["--training-method", "DEEP", "--dataset", "or", "--num_net", 4, "--epochs", 30, *FAST]
FIGURES = {"results", "mse", "convergence", "weights_DEEP", "graph_DEEP", "decision_DEEP"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    results = tmp_path_factory.mktemp("directed")
    with commands.drawing():
        commands.call(*RUN, "--results-dir", results)
    return commands.only_run(results)


def arrays_in(folder):
    with np.load(folder / "results.npz", allow_pickle=False) as file:
        return dict(file)


def test_every_measure_is_there_for_every_network_and_epoch(trained):
    arrays = arrays_in(trained)
    for name in (
        "mse_free",
        "mse_nudged",
        "error_free",
        "error_nudged",
        "residual",
        "change_W",
        "sparsity",
        "diverged",
    ):
        assert arrays[f"DEEP_{name}"].shape == (30, 1, 4), name
    for name in ("fails_row", "fails_column", "abscissa", "stable", "learnt", "learnt_epoch"):
        assert arrays[f"DEEP_{name}"].shape == (4,), name
    assert arrays["DEEP_W"].shape == (4, 9, 9) and arrays["DEEP_W"].dtype == np.float64
    assert arrays["DEEP_decision"].shape == (4, 41, 41)
    rows = list(csv.DictReader((trained / "metrics.csv").open()))
    error = arrays["DEEP_error_free"][:, 0].mean(1)
    assert [float(row["train_error"]) for row in rows] == pytest.approx(error.tolist())
    loss = arrays["DEEP_mse_free"][:, 0].mean(1)
    assert [float(row["loss"]) for row in rows] == pytest.approx(loss.tolist())


@pytest.mark.figures
def test_the_figures_are_drawn_at_the_end_and_again(trained, saved):
    import plotFunctions

    assert {path.stem for path in trained.glob("*.png")} == FIGURES
    assert {path.stem for path in plotFunctions.plot_folder(trained)} == FIGURES == set(saved)


def test_the_report_says_what_the_arrays_say(trained):
    arrays, text = arrays_in(trained), (trained / "report.txt").read_text()
    learnt = np.isfinite(arrays["DEEP_learnt_epoch"])
    assert f"at some epoch: {100 * learnt.mean():.0f} %" in text
    assert "networks: 4, diverged 0" in text
    assert f"move: {100 * arrays['DEEP_stable'].mean():.0f} %" in text


def test_resuming_equals_not_stopping(trained, tmp_path):
    words = ["--epochs" if word == "--epochs" else word for word in RUN]
    words[words.index("--epochs") + 1] = 12
    commands.call(*words, "--results-dir", tmp_path)
    commands.call("--resume", commands.only_run(tmp_path), "--epochs", 30)
    whole, parts = arrays_in(trained), arrays_in(commands.only_run(tmp_path))
    assert whole.keys() == parts.keys()
    assert np.array_equal(whole["DEEP_W"], parts["DEEP_W"])
    assert np.array_equal(whole["DEEP_mse_free"], parts["DEEP_mse_free"])


def test_evaluate_prints_the_answer_to_every_pattern(trained, capsys):
    commands.call("--action", "evaluate", "--load", trained / "checkpoint.pt")
    printed = capsys.readouterr().out
    for inputs, output in LOGIC["or"].items():
        assert f"{inputs[0]} {inputs[1]}" in printed and f" {output} " in printed
    assert "networks: 4" in printed


def test_a_network_that_overflows_is_counted_and_the_others_go_on(tmp_path):
    net = DEEP(2, 3, 1, n_nets=3, seed=1)
    with torch.no_grad():
        net.W[1].fill_(1e300)
    data = load_dataset("xor", None)
    x, y = data.train.batch(slice(0, 4), torch.float64)
    plan = Schedule(T=50, Kmax=20, beta=1.0, lr_tab=[], dtype=torch.float64)
    lesson = learn_by_directed(net, x, y, plan)
    assert lesson.measures["diverged"].tolist() == [0, 1, 0]
    _, text = report(net, data.train, plan, {})
    assert "networks: 3, diverged 1" in text
    assert net.W[[0, 2]].isfinite().all()


@pytest.mark.parametrize("task", LOGIC)
@pytest.mark.parametrize("method", ["DEEP", "asymEP"])
def test_every_operation_runs_with_one_output_and_with_one_per_answer(method, task, tmp_path):
    words = ["--training-method", method, "--dataset", task, "--epochs", 2, "--T", 20, "--Kmax", 5]
    for more in ([], ["--one-hot", "--N_H", 2, 2, "--layered"]):
        commands.call(
            *words, *more, "--seed", len(more), "--results-dir", tmp_path / str(len(more))
        )
    arrays = arrays_in(commands.only_run(tmp_path / "5"))
    assert arrays[f"{method}_output"].shape[2] == 2


def test_a_small_data_set_runs(tmp_path):
    words = [
        "--training-method",
        "DEEP",
        "--dataset",
        "wine",
        "--epochs",
        2,
        "--T",
        20,
        "--Kmax",
        5,
    ]
    commands.call(*words, "--dt_W", 1, "--results-dir", tmp_path)
    rows = list(csv.DictReader((commands.only_run(tmp_path) / "metrics.csv").open()))
    assert len(rows) == 2 and 0 <= float(rows[-1]["test_error"]) <= 100


@pytest.mark.figures
@pytest.mark.parametrize("method", ["DEEP", "asymEP"])
def test_curves_and_the_angle_per_epoch(method, tmp_path, saved):
    words = ["--training-method", method, "--dataset", "xor", "--num_net", 3, "--epochs", 4]
    words += ["--T", 60, "--Kmax", 20, "--dt", 0.2]
    commands.call("--action", "plotcurves", *words, "--results-dir", tmp_path)
    folder = commands.only_run(tmp_path)
    arrays = arrays_in(folder)
    assert arrays[f"{method}_angle"].shape == (4, 3) and arrays["DT_W"].shape == (20, 10)
    angle = arrays[f"{method}_angle"]
    known = angle[np.isfinite(angle)]
    assert ((known >= 0) & (known <= 180)).all()
    figures = {f"angle_{method}", "neurons", "synapses", "synapses_cumulated", "rmse"}
    assert figures <= set(saved)


def test_one_hot_has_an_output_per_answer():
    data = one_hot(load_dataset("xor", None))
    _, target = data.train.batch(slice(0, 4))
    assert target.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    assert data.test is data.train and data.train.task == "classes"


def test_first_epoch_below_the_bound():
    mse = np.array([[0.1, 1e-4, 0.2], [1e-5, 0.1, 0.2]])
    assert first_epoch(mse)[:2].tolist() == [2, 1] and np.isnan(first_epoch(mse)[2])


def test_a_decision_map_has_the_patterns_in_its_corners():
    """Its rows are the second input: a network that copies it has bright upper rows."""
    net = DEEP(2, 0, 1, n_nets=1, std=0.0, highest_start=0.0)
    with torch.no_grad():
        net.W[0, 1, 3] = 1.0  # second input to output
        net.W[0, 2, 3] = -0.5  # constant one to output
    plan = Schedule(T=200, Kmax=1, beta=1.0, lr_tab=[], dtype=torch.float64)
    x, _ = load_dataset("xor", None).train.batch(slice(0, 4), torch.float64)
    answer = decision_map(net, x, plan)[0]
    assert (answer[-1] > 0.5).all() and (answer[0] == 0).all()


def test_published_defaults_and_names():
    args = options("--training-method DEEP")
    assert (args["dataset"], args["T"], args["Kmax"], args["epochs"]) == ("xor", 1000, 1000, 200)
    assert (args["dt_W"], args["beta"], args["dt"], args["N_H"]) == (100, 10, 0.05, [5])
    assert args["dtype"] == "float64" and args["init_std"] == 0.05
    assert options("--training-method asymEP")["dt_W"] == 1
    named = options("--training-method DEEP --T1 7 --T2 5 --n_epochs 3")
    assert (named["T"], named["Kmax"], named["epochs"]) == (7, 5, 3)


PRESETS = DEEP_SYSTEM.presets | ASYMMETRIC.presets


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_with_its_steps_cut_down(name, tmp_path):
    linear = "--nudge linear" in PRESETS[name].options  # without a second phase
    words = ["--preset", name, "--T", 10, *([] if linear else ["--Kmax", 4])]
    words += ["--epochs", 2, "--num_net", 2]
    commands.call(*words, "--results-dir", tmp_path)
    state = read_checkpoint(commands.only_run(tmp_path) / "checkpoint.pt")
    assert state["progress"]["epoch"] == 3


WRONG = {
    "--N_H 5": "--N_H is not used by the energy-based network",
    "--training-method DEEP --size_tab 1 5 2": "--size_tab is not used by the directed network",
    "--training-method DEEP --N_H 3 4": "a complete graph takes one",
    "--training-method DEEP --persistent": "--persistent is not used by the directed network",
    "--training-method asymEP --dt_W 0": "'0' is not a number above 0",
    "--training-method DEEP --N_H -1": "'-1' is not a whole number of at least 0",
    "--training-method DEEP --dataset nand": "invalid choice: 'nand'",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_one_line_and_writes_nothing(line, place, capfd):
    refuses(line, WRONG[line], capfd)


def test_words_of_a_record_are_words_of_a_command(trained):
    args = options(shlex.join(["--config", str(trained / "hyperparameters.json")]))
    assert args["num_net"] == 4 and args["training_method"] == "DEEP"
