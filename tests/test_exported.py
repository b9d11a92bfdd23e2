"""Weights in a file: `--export` writes them, `--load` tests them to the bit, for every network."""

import csv
import json
import math
import os
import struct
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from commands import refuses

from records.exported import read_export, read_header
from runs.saved import load_run

pytestmark = pytest.mark.long

WEIGHTS = commands.ROOT / "weights"
MEASURES = commands.ROOT / "docs" / "reproduction" / "measures.csv"
LARGEST = 3 * 2**20  # bytes of a file in weights/
SHORT = "--dataset digits --train-samples 100 --epochs 1"
RUNS = {
    "layered": f"{SHORT} --size_tab 10 8 64 --discrete",
    "two methods": f"{SHORT} --size_tab 10 8 64 --benchmark --T 6 --Kmax 3",
    "float64": f"{SHORT} --size_tab 10 8 64 --dtype float64 --seed 3",
    "read-out": f"{SHORT} --size_tab 10 8 64 --loss cross-entropy --normalise",
    "convolutional": f"{SHORT} --C_tab 4 1 --Fconv 3 --size_tab 10 --lr_tab 0.1",
    "asymmetric": f"{SHORT} --size_tab 10 8 64 --asymmetric",
    "skips": "--dataset wine --network-type SW_no_intra --size_tab 3 5 5 13 --epochs 1 "
    "--batch-size 50",
    "DEEP": "--training-method DEEP --dataset and --T 60 --Kmax 60 --epochs 2 --num_net 3",
    "asymEP": "--training-method asymEP --dataset or --T 60 --Kmax 60 --epochs 2 --num_net 3 "
    "--sparse",
    "BrainProp": f"{SHORT} --architecture conv --training-method BrainProp --epochs 2",
}


def results(text: str) -> list[str]:
    """The lines of an evaluation with a result."""
    return [line for line in text.splitlines() if "test error" in line]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """By the name of a run its folder and its exported file, with the line of its evaluation."""
    place = tmp_path_factory.mktemp("exported")
    found = {}

    def of(name):
        if name not in found:
            commands.call(*RUNS[name].split(), "--results-dir", place / name)
            folder, file = commands.only_run(place / name), place / f"{name}.safetensors"
            load = ["--action", "evaluate", "--load", folder / "checkpoint.pt"]
            found[name] = folder, file, commands.call(*load, "--export", file)
        return found[name]

    return of


@pytest.mark.parametrize("name", RUNS)
def test_a_file_of_weights_is_tested_as_its_checkpoint_to_the_bit(name, trained):
    folder, file, expected = trained(name)
    kept = [line for line in results(expected) if f"{line.split(':')[0]}, best" not in expected]
    assert results(commands.call("--action", "evaluate", "--load", file)) == kept and kept
    run, again = load_run(folder), load_run(file)
    assert again.networks.keys() == run.networks.keys() and not again.metrics
    x, _ = run.data.test.batch(slice(0, 20), next(iter(run.networks.values())).plan.dtype)
    for method, net in run.networks.items():
        state, loaded = net.state_dict(), again.networks[method].state_dict()
        assert state.keys() == loaded.keys()
        assert all(torch.equal(state[key], loaded[key]) for key in state)
        assert torch.equal(net.predict(x), again.networks[method].predict(x))


def test_a_file_holds_the_options_but_no_place(trained):
    folder, file, expected = trained("layered")
    options = read_header(file)
    assert options["size_tab"] == [10, 8, 64] and options["discrete"] and options["seed"] == 0
    assert not {"data_dir", "results_dir", "device_label", "load", "export"} & options.keys()
    assert str(folder.parent) not in file.read_bytes().decode(errors="ignore")
    assert f"weights in {file}\n" in expected
    header = file.read_bytes()[8 : 8 + struct.unpack("<Q", file.read_bytes()[:8])[0]]
    error = json.loads(json.loads(header)["__metadata__"]["test_error"])
    assert f"test error {error['EP']:.2f} %" in " ".join(expected.split())


def test_states_travel_only_with_a_persistent_network(trained, tmp_path):
    folder, file, _ = trained("skips")
    assert read_export(file)["particles"]["EP"][1]
    words = ["--action", "evaluate", "--load", folder / "checkpoint.pt", "--no-persistent"]
    small = tmp_path / "small.safetensors"
    expected = results(commands.call(*words, "--export", small))
    assert not read_export(small)["particles"] and small.stat().st_size < file.stat().st_size
    assert results(commands.call("--action", "evaluate", "--load", small)) == expected


def test_a_file_of_weights_is_measured_like_a_checkpoint(trained, tmp_path):
    file = trained("layered")[1]
    words = ["--action", "audit", "--load", file, "--batch-size", 20, "--results-dir", tmp_path]
    commands.call(*words)
    assert (commands.only_run(tmp_path) / "audit.txt").exists()


@pytest.mark.parametrize(
    "line, expected",
    [
        ("--load {cp} --export w.pt", "w.pt: a file of weights has a name that ends in .safe"),
        ("--load {cp} --export {file}", "is there already: choose another name, or remove it"),
        ("--load {cp} --export no/w.safetensors", "there is no folder no"),
        ("--load {cp} --export /proc/w.safetensors", "cannot write"),
        ("--load {cp} --export w.safetensors --sweep test_samples 5 9", "weights of one run"),
        ("--load {file} --size_tab 10 9 64", "--size_tab cannot be changed"),
        ("--load {file} --C_tab 4 1", "--C_tab cannot be changed: --load takes a network of the"),
        ("--load {file} --beta 3", "--beta is not used by --action evaluate"),
        ("--load {file} --dataset wine", "must end in 13"),
        ("--load no.safetensors", "there is no file no.safetensors"),
        ("--load {text}", "cannot be read as a file of weights"),
        ("--load {half}", "cannot be read as a file of weights"),
        ("--load {folder}", "cannot be read as a file of weights"),
        ("--load {foreign}", "has no header of this program: it reads what --export has written"),
        ("--load {bare}", "has a header without options"),
        ("--load {odd}", "holds something/else, which is unknown"),
        ("--load {empty}", "holds no weights"),
        ("--load {other}", "holds a network of other sizes"),
    ],
)
def test_what_cannot_be_exported_or_loaded_is_told(line, expected, trained, tmp_path, capfd):
    from safetensors.numpy import save_file

    folder, file, _ = trained("layered")
    names = ("text", "half", "folder", "foreign", "bare", "odd", "empty", "other")
    made = {name: tmp_path / f"{name}.safetensors" for name in names}
    header = json.loads(file.read_bytes()[8 : 8 + struct.unpack("<Q", file.read_bytes()[:8])[0]])
    header, one = header["__metadata__"], {"something/else": np.zeros(3)}
    made["text"].write_text("weights")
    made["half"].write_bytes(file.read_bytes()[:-100])
    made["folder"].mkdir()
    save_file(one, made["foreign"], {"format": "pt"})
    save_file(one, made["bare"], {"format": header["format"]})
    save_file(one, made["odd"], header)
    save_file({}, made["empty"], header)
    save_file({"weights/EP/w.0.weight": np.zeros((2, 2))}, made["other"], header)
    line = line.format(cp=folder / "checkpoint.pt", file=file, **made)
    refuses(f"--action evaluate {line}", expected, capfd)


def test_export_is_for_evaluate(capfd):
    refuses("--dataset digits --export w.safetensors", "--export is not used by --action", capfd)


# The files in weights/ --------------------------------------------------------------------------

FILES = sorted(WEIGHTS.glob("*.safetensors"))


def published(file: Path) -> dict[str, float]:
    """By method the test error that the table has of a file's row and seed."""
    seed = read_header(file)["seed"]
    with MEASURES.open(newline="", encoding="utf-8") as table:
        return {
            row["method"]: float(row["value"])
            for row in csv.DictReader(table)
            if (row["row"], row["seed"]) == (file.stem, str(seed))
            and row["measure"] == "test_error"
        }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_weights_that_are_shipped_are_small_and_of_a_row_of_the_table(file):
    assert file.stat().st_size <= LARGEST
    options, held = read_header(file), read_export(file)
    assert options["dtype"] == "float32" or options["training_method"] in ("DEEP", "asymEP")
    assert (held["weights"].keys() | held["best"].keys()) <= published(file).keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_weights_that_are_shipped_have_the_error_of_the_table(file, monkeypatch):
    from runs import evaluate as place

    places = [os.environ.get("DATA_DIR", ""), commands.ROOT / ".." / "shared" / "data"]
    data = next((Path(p) for p in places if p and (Path(p) / "MNIST" / "raw").is_dir()), None)
    if read_header(file)["dataset"] == "mnist" and data is None:
        pytest.skip("MNIST is not at hand: DATA_DIR names the folder that holds MNIST/raw")
    found, evaluate = {}, place.evaluate

    def noted(net, split, plan, method, *rest):
        found[method] = evaluate(net, split, plan, method, *rest)
        return found[method]

    monkeypatch.setattr(place, "evaluate", noted)
    header = read_header(file)
    draws = header["training_method"] in ("DEEP", "asymEP")  # the states it starts from
    within = 2.0 if draws else 0.02  # 2 of 10,000 images may be on the edge
    few = []
    if header["C_tab"] and "DATA_DIR" not in os.environ:  # all of the images take a minute
        few = ["--test-samples", 1000]
        error = max(published(file).values())
        within = 3 * math.sqrt(error * (100 - error) / 1000)  # standard deviations of a share
    commands.call("--action", "evaluate", "--load", file, "--data-dir", data or "data", *few)
    assert found
    for method, result in found.items():
        assert abs(result.error - published(file)[method]) <= within + 1e-9, method
