"""What is handed to other programs: scalars to TensorBoard, options to shells."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import SMALL, call, only_run

from commandLine import parse
from records.scalars import Scalars
from runs.many import read_rows


def curves_in(folder):
    pytest.importorskip("tensorboard", reason="TensorBoard is optional")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_gets_the_numbers_of_metrics(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is optional")
    call(*SMALL, "--benchmark", "--epochs", 2, "--tensorboard", "--results-dir", tmp_path)
    folder = only_run(tmp_path)
    call("--resume", folder, "--epochs", 3, "--tensorboard")
    rows, curves = read_rows(folder / "metrics.csv"), curves_in(folder / "tensorboard")
    assert {tag.split("/")[0] for tag in curves} == {"EP", "BPTT"}
    for method in ("EP", "BPTT"):
        for name in ("train_error", "test_error", "loss", "seconds"):
            own = [(int(r["epoch"]), float(r[name])) for r in rows if r["method"] == method]
            assert curves[f"{method}/{name}"] == [(epoch, pytest.approx(v)) for epoch, v in own]


def test_what_is_done_again_hides_what_was_there(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is optional")
    row = {"epoch": 1, "method": "EP", "loss": 3.0}
    before = Scalars(tmp_path)
    before.add(row)
    before.add(row | {"epoch": 2, "loss": 2.0})
    before.writer.close()
    Scalars(tmp_path, epoch=2).add(row | {"epoch": 2, "loss": 1.5})
    assert curves_in(tmp_path / "tensorboard")["EP/loss"] == [(1, 3.0), (2, 1.5)]


def test_without_tensorboard_a_sentence(tmp_path, monkeypatch, capsys):
    from main import main

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main([*SMALL, "--tensorboard", "--results-dir", str(tmp_path)]) == 2
    assert "pip install tensorboard" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_options(shell, capsys):
    pytest.importorskip("shtab", reason="shtab is optional")
    with pytest.raises(SystemExit) as end:
        parse(["--print-completion", shell])
    script = capsys.readouterr().out
    assert end.value.code == 0
    assert "--network-type" in script and "SW_no_intra" in script and "mnist_5layer_swni" in script


def test_bash_completes_a_preset(capsys):
    pytest.importorskip("shtab", reason="shtab is optional")
    with pytest.raises(SystemExit):
        parse(["--print-completion", "bash"])
    script = capsys.readouterr().out
    script += "\nCOMP_WORDS=(./main.py --preset diabetes_8layer_sw); COMP_CWORD=2\n"
    script += '_shtab_main_py; echo "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["diabetes_8layer_swni"], done.stderr


def test_without_shtab_a_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as end:
        parse(["--print-completion", "bash"])
    assert end.value.code == 2
    assert "pip install shtab" in capsys.readouterr().err
