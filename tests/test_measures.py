"""plotcurves and receipe as commands: what they print, store and draw."""

import dataclasses
import shlex

import commands
import numpy as np
import pytest
import torch
from commands import refuses

import plotFunctions
from datasets import load_dataset, random_dataset
from gradientMatching import Recipe, Settling, receipe
from netClasses import EPdisc

pytestmark = pytest.mark.long

EB = "--action 'plotcurves' --no-clamp --batch-size {} --size_tab 10 {} 784 "
EB += "--activation-function 'tanh' --dt 0.08 --beta {} --T {} --Kmax {}"
P = "--action 'plotcurves' --discrete --batch-size {} --size_tab 10 {} 784 "
P += "--activation-function 'tanh' --beta {} --T {} --Kmax {}"
CONV = "--action 'plotcurves' --batch-size {} --size_tab 10 --C_tab 64 32 1 "
CONV += "--activation-function 'hardsigm' --beta 0.02 --T 5000 --Kmax 10"
TOY = "--action 'plotcurves' --toymodel --no-clamp --batch-size 1 --size_tab 10 50 5 "
TOY += "--activation-function 'tanh' --dt 0.08 --beta 0.01 --T 5000 --Kmax 80"
README_CURVES = {  # the `--action plotcurves` commands of the published README, word for word
    "fig. 3 EB-1h": EB.format(20, "512", 0.001, 800, 80),
    "fig. 3 EB-2h": EB.format(20, "512 512", 0.01, 5000, 150),
    "fig. 3 EB-3h": EB.format(20, "512 512 512", 0.02, 30000, 200),
    "fig. 3 P-1h": P.format(20, "512", 0.01, 150, 10),
    "fig. 3 P-2h": P.format(1, "512 512", 0.01, 1500, 40),
    "fig. 3 P-3h": P.format(1, "512 512 512", 0.015, 5000, 40),
    "fig. 4": CONV.format(1),
    "fig. 16": CONV.format(20),
}
DRAWN = "fig. 4"  # a convolutional network; figure 2 is of a dense one
FIGURES = {"neurons", "synapses", "synapses_cumulated", "rmse"}


def figures(folder) -> set[str]:
    return {path.stem for path in folder.glob("*.png")} & {p.stem for p in folder.glob("*.pdf")}


@pytest.mark.parametrize("name", README_CURVES)
def test_published_commands_run_with_their_steps_cut_down(name, tmp_path):
    words = [*shlex.split(README_CURVES[name]), "--T", 6, "--Kmax", 3, "--threads", 1]
    words += ["--data-dir", commands.small_mnist(tmp_path)]
    with commands.drawing(name == DRAWN):
        printed = commands.call(*words, "--results-dir", tmp_path / "results")
    folder = commands.only_run(tmp_path / "results")
    assert figures(folder) == (FIGURES if name == DRAWN else set())
    assert "NOT settled" in printed  # three steps from zero are not enough
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        assert arrays["rmse_T"].shape == (len(arrays["synapses"]), 2)
        assert arrays[f"NT_{arrays['synapses'][-1]}"].shape == (3, 10)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    results = tmp_path_factory.mktemp("toy")
    printed = commands.call(*shlex.split(TOY), "--dtype", "float64", "--results-dir", results)
    return commands.only_run(results), printed


def test_figure_2_shows_the_theorem(toy):
    folder, printed = toy
    assert "free phase settled" in printed
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        assert arrays["rmse_S"][:, 0].max() < 0.03 and arrays["rmse_T"][:, 0].max() < 0.03
        assert arrays["same_sign"].min() > 99 and arrays["cosine"].min() > 0.999
        assert arrays["nS_s1"].shape == (80, 10) and arrays["nS_s1"].dtype == np.float64
    assert (folder / "curves.txt").read_text().splitlines()[0] in printed


@pytest.mark.figures
def test_the_curves_are_drawn_from_the_folder_alone(toy, saved):
    folder, _ = toy
    plotFunctions.plot_folder(folder)
    assert set(saved) == FIGURES


def test_everything_can_be_stored(tmp_path):
    words = "--action plotcurves --discrete --dataset digits --size_tab 10 7 64 --T 8 --Kmax 4"
    commands.call(*words.split(), "--save-full", "--results-dir", tmp_path / "full")
    commands.call(*words.split(), "--curves", 3, "--results-dir", tmp_path / "few")
    shapes = {}
    for name in ("full", "few"):
        with np.load(commands.only_run(tmp_path / name) / "results.npz") as arrays:
            shapes[name] = (arrays["NT_W01"].shape, arrays["dS_s1"].shape)
    assert shapes == {"full": ((4, 70), (4, 7)), "few": ((4, 3), (4, 3))}


def test_a_trained_network_is_measured(tmp_path):
    commands.call(*commands.SMALL, "--epochs", 1, "--results-dir", tmp_path / "trained")
    checkpoint = commands.only_run(tmp_path / "trained") / "checkpoint.pt"
    for action, name in (("plotcurves", "curves.txt"), ("receipe", "receipe.txt")):
        words = ["--action", action, "--load", checkpoint, "--results-dir", tmp_path / action]
        commands.call(*words)
        folder = commands.only_run(tmp_path / action)
        assert (folder / name).read_text()
        assert folder.parts[-3] == "ep_cont_1hidden_digits"


@pytest.mark.parametrize("action", ["receipe", "recipe"])
def test_receipe_prints_a_table_and_advice(action, tmp_path):
    words = ["--discrete", "--dataset", "digits", "--size_tab", 10, 30, 64, "--T", 3, "--Kmax", 2]
    printed = commands.call(
        "--action", action, *words, "--batches", 4, "--results-dir", tmp_path, "--threads", 1
    )
    text = (commands.only_run(tmp_path) / "receipe.txt").read_text()
    assert text in printed
    assert "W01 " in text and "W1x " in text and "±" in text
    assert "NOT settled" in text and "Raise --T above 3" in text


def test_advice_comes_from_what_was_measured():
    shares = np.array([[90.0, 80.0], [90.0, 84.0]])
    nothing = np.zeros((2, 2))

    def advice(same=shares, growth=0.0, residual=1e-6, oscillating=0.0, K=10):
        settling = Settling(residual, 10 * residual, oscillating)
        return Recipe(["W01", "W1x"], same, nothing, shares / 100, growth, settling).advice(40, K)

    assert "T 40 and Kmax 10 are long enough" in advice()
    assert "Raise --T above 40" in advice(residual=0.1)
    assert "still changes by 20 %" in advice(growth=0.2) and "--Kmax above 10" in advice(growth=0.2)
    assert "even --Kmax" in advice(residual=0.3, oscillating=5.0, K=15)
    assert "Only 41 % of W1x" in advice(same=shares / 2) and "lower --beta" in advice(
        same=shares / 2
    )


def test_the_mean_of_the_sum_has_its_own_deviation():
    """Shares that move against each other leave the sum as it is."""
    same, zero = np.array([[70.0], [60.0]]), np.array([[20.0], [30.0]])
    table = Recipe(["W01"], same, zero, same / 100, 0.0, Settling(0.0, 0.0, 0.0)).table()
    assert "65.00 ±  5.00 %" in table and "25.00 ±  5.00 %" in table
    assert "90.00 ±  0.00 %" in table


def test_an_update_of_exactly_0_is_said():
    """A network whose output is the target has nothing to learn."""
    net = EPdisc([2, 5, 4], "hardsigm")
    split = random_dataset(4, 2, seed=0, n=40).train
    split = dataclasses.replace(split, y=torch.zeros_like(split.y))
    with torch.no_grad():
        net.biases[0].copy_(torch.tensor([9.0, -9.0]))
    found = receipe(net, split, T=20, K=5, beta=0.2, batch_size=20, batches=2)
    assert (found.both_zero == 100).all() and np.isnan(found.growth)
    assert "EP's update is exactly 0: every output is its target" in found.advice(20, 5)
    assert "long enough" not in found.advice(20, 5)


def test_receipe_of_a_network_that_has_learnt_is_recorded(tmp_path):
    words = ["--preset", "deep-and", "--num_net", 1, "--seed", 2, "--epochs", 60]
    commands.call(*words, "--results-dir", tmp_path / "trained")
    checkpoint = commands.only_run(tmp_path / "trained") / "checkpoint.pt"
    commands.call("--action", "receipe", "--load", checkpoint, "--results-dir", tmp_path / "found")
    folder = commands.only_run(tmp_path / "found")
    assert "EP's update is exactly 0" in (folder / "receipe.txt").read_text()
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        assert np.isnan(arrays["growth"]) and (arrays["both_zero"] == 100).all()


def test_receipe_takes_as_many_batches_as_there_are():
    torch.set_num_threads(1)
    split = random_dataset(6, 4, seed=0, n=50).train
    found = receipe(EPdisc([4, 5, 6]), split, T=20, K=5, beta=0.2, batch_size=20, batches=9)
    assert found.same_sign.shape == (3, 2)
    digits = load_dataset("digits", "data").train
    found = receipe(EPdisc([10, 20, 64]), digits, T=60, K=10, beta=0.05, batches=5)
    assert found.settling.settled and (found.same_sign + found.both_zero).mean() > 80


@pytest.mark.parametrize(
    "line, message",
    [
        ("--action plotcurves --lr_tab 0.1 0.1", "--lr_tab is not used by --action plotcurves"),
        ("--action receipe --save-full", "--save-full is not used by --action receipe"),
        ("--action train --curves 5", "--curves is not used by --action train"),
        ("--action plotcurves --T 5 --Kmax 8", "--Kmax 8 is more than --T 5"),
        ("--action plotcurves --dataset random", "--dataset random is for dense networks"),
        ("--discrete --exact-output", "--exact-output is not used by the prototypical network"),
        ("--action plotcurves --beta 0", "--beta: '0' is not a number other than 0"),
        ("--action receipe --batches 0", "--batches: '0' is not a whole number of at least 1"),
    ],
)
def test_wrong_measures_are_one_line(line, message, place, capfd):
    refuses(line, message, capfd)
