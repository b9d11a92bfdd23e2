"""What is kept of a run: its record over every resume, its name, its output."""

import json
import shutil

import commands
import pytest

from commandLine import parse
from report.reader import read_results


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of one epoch, with a name."""
    results = tmp_path_factory.mktemp("results")
    words = ["--epochs", 1, "--name", "first try", "--note", "is it = what I think?"]
    commands.call(*commands.SMALL, *words, "--results-dir", results)
    return commands.only_run(results)


@pytest.fixture
def folder(trained, tmp_path):
    """A copy, to go on with."""
    return shutil.copytree(trained, tmp_path / "run")


def record_of(folder):
    return json.loads((folder / "hyperparameters.json").read_text())


def test_every_resume_is_recorded(folder):
    commands.call("--resume", folder, "--epochs", 2)
    commands.call("--resume", folder, "--epochs", 3, "--note", "longer")
    record = record_of(folder)
    assert record["options"]["epochs"] == 3 and record["options"]["note"] == "longer"
    first, second = record["resumes"]
    assert first["changed"] == {"epochs": {"from": 1, "to": 2}}
    assert second["changed"].keys() == {"epochs", "note"}
    assert first["command"].endswith("--epochs 2") and first["commit"] and first["started"]
    assert record["command"].startswith("python main.py --dataset digits")
    text = (folder / "hyperparameters.txt").read_text()
    assert "- epochs: 3\n" in text and "- changed: epochs from 1 to 2\n" in text


def test_the_report_and_config_read_a_resumed_run(folder):
    commands.call("--resume", folder, "--epochs", 2)
    [run] = read_results([folder]).runs
    assert run.options["epochs"] == 2 and len(run.rows["EP"]) == 2
    assert run.command.endswith(f"&& python main.py --resume {folder} --epochs 2")
    assert parse(["--config", str(folder / "hyperparameters.json")]).epochs == 2


def test_a_run_has_a_name_and_a_note(folder):
    options = record_of(folder)["options"]
    assert options["name"] == "first try" and options["note"] == "is it = what I think?"
    assert parse(["--config", str(folder / "hyperparameters.json")]).name == "first try"


@pytest.mark.parametrize("line", ["--name ''", "--note 'two\nlines'"])
def test_a_name_is_a_line(line, capfd):
    commands.refuses(line, "is not a line of text", capfd)
