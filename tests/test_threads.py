"""Threads: one where a step is too short to share, and a word where the machine is crowded."""

import json
import os

import commands
import pytest
import torch

from parallel import busy_cores, crowded, threads_for


def test_short_steps_get_one_thread_and_long_ones_torchs_choice():
    assert threads_for(20 * 512 * 10) == 1
    assert threads_for(20 * (10 * 500 + 2 * 500 * 500)) == 0


@pytest.fixture
def same_threads():
    """Leave this process with as many threads as it had."""
    n = torch.get_num_threads()
    yield
    torch.set_num_threads(n)


@pytest.mark.parametrize(
    "options, threads",
    [
        (["--size_tab", "10", "32", "64"], 1),
        (["--size_tab", "10", "32", "64", "--threads", "2"], 2),
        (["--size_tab", "10", "900", "900", "64"], 0),
        (["--architecture", "dense", "--training-method", "BrainProp"], 0),
        (["--dataset", "xor", "--training-method", "DEEP", "--num_net", "2"], 1),
    ],
)
def test_the_record_says_how_many(options, threads, tmp_path, same_threads):
    if "xor" not in options:
        options = ["--dataset", "digits", "--train-samples", "40", *options]
    short = ["--T", "2", "--Kmax", "1"] if "--architecture" not in options else []
    commands.call(*options, *short, "--epochs", "1", "--results-dir", tmp_path)
    record = json.loads((commands.only_run(tmp_path) / "hyperparameters.json").read_text())
    assert record["options"]["threads"] == threads
    if threads:
        assert torch.get_num_threads() == threads


def load(tmp_path, running):
    path = tmp_path / f"loadavg{running}"
    path.write_text(f"0.52 0.58 0.59 {running}/467 12345\n")
    return path


def test_other_programs_are_counted_and_this_one_is_not(tmp_path):
    assert busy_cores(load(tmp_path, 1)) == 0
    assert busy_cores(load(tmp_path, 4)) == 3


@pytest.mark.parametrize("content", ["", "what is this", "1 2 3 x/y 5"])
def test_a_system_that_does_not_tell_is_not_crowded(content, tmp_path):
    path = tmp_path / "loadavg"
    path.write_text(content)
    assert busy_cores(path) == 0 and crowded(64, path) == ""
    assert busy_cores(tmp_path / "missing") == 0


def test_too_many_threads_beside_other_programs_are_noted(tmp_path):
    cores = os.cpu_count()
    crowd = load(tmp_path, cores + 1)
    assert crowded(1, crowd) == ""
    assert crowded(cores + 1, load(tmp_path, 1)) == ""
    note = crowded(max(2, cores), crowd)
    assert f"{cores} of the {cores} cores busy" in note and "--threads 1" in note
