"""From Python: the page runs, the notebook is of it, every network answers and is read again."""

import json
import re

import commands
import numpy as np
import pytest
import torch

from datasets import load_dataset
from errors import RunError
from netClasses import EPcont, EPdisc, convEP, toyEPcont
from netFunctions import Schedule, train
from networks.architectures import build_classifier
from networks.directed import DEEP
from networks.smallWorld import SmallWorldEP
from networks.topology import wire_up
from report.reader import read_results
from runFolder import RunFolder
from runs.saved import load_run

PAGE = (commands.ROOT / "docs" / "python.md").read_text()
CELLS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
NOTEBOOK = json.loads((commands.ROOT / "docs" / "python.ipynb").read_text())
LAYERED = Schedule(T=6, Kmax=3, beta=0.5, lr_tab=[0.05], batch_size=500)


def test_the_notebook_is_the_page_with_what_it_prints():
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert ["".join(cell["source"]) for cell in code] == [cell.strip() for cell in CELLS]
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert len(kinds) >= len(code) and set(kinds) == {"stream"}
    assert all(cell["execution_count"] for cell in code)
    assert "/tmp" not in json.dumps(NOTEBOOK) and "/home" not in json.dumps(NOTEBOOK)


def test_the_cells_run(place, capsys):
    names: dict = {}
    for k, cell in enumerate(CELLS):
        exec(compile(cell.replace("epochs=3", "epochs=1"), f"cell {k}", "exec"), names)
    assert "True" in capsys.readouterr().out  # the loaded network answers alike
    [run] = read_results([place / "results"]).runs
    assert run.options["discrete"] and len(run.rows["EP"]) == 1
    [folder] = place.glob("results/from_python/*/Trial-1")
    assert (folder / "plotFunctions.py").exists()
    commands.call("--resume", folder, "--epochs", 2, "--no-figures")
    assert len(load_run(folder).metrics) == 2


def networks():
    """Every kind of network, by name: the rule that teaches it, itself, its data and schedule."""
    xor = Schedule(20, 5, 5.0, [], batch_size=9, test_batch_size=9, dtype=torch.float64)
    topology = wire_up([10, 8, 8, 64], 0.2, False, 0)
    deep = DEEP(2, 3, 1, n_nets=2)
    return {
        "energy-based": ("EP", EPcont([10, 8, 64]), "digits", LAYERED),
        "prototypical": ("BPTT", EPdisc([10, 8, 64], "tanh"), "digits", LAYERED),
        "toy": ("EP", toyEPcont([10, 8, 64]), "digits", LAYERED),
        "convolutional": ("EP", convEP([10], [3, 1], (8, 8), Fconv=3), "digits", LAYERED),
        "small-world": ("EP", SmallWorldEP(topology), "digits", LAYERED),
        "directed": ("DEEP", deep, "xor", xor),
        "feedforward": ("EBP", build_classifier("dense", (1, 8, 8), 10), "digits", LAYERED),
    }


@pytest.mark.parametrize("name", networks())
def test_a_folder_that_train_has_left_is_that_of_a_run(name, tmp_path):
    method, net, dataset, plan = networks()[name]
    n = getattr(net, "n_rates", 1)
    if plan.lr_tab:
        plan = Schedule(**vars(plan) | {"lr_tab": plan.lr_tab * n})
    data = load_dataset(dataset, None)
    x, _ = data.test.batch(slice(0, 4), torch.float64 if dataset == "xor" else torch.float32)
    before = net.predict(x)  # untaught, at rest or stepped
    assert before.shape[-2:] == (4, data.n_classes) and before.isfinite().all()
    train({method: net}, data, plan, RunFolder(tmp_path))
    found = read_results([tmp_path])
    assert not found.unreadable and not found.unfinished
    [run] = found.runs
    assert run.system.name == name and list(run.rows) == [method]
    saved = load_run(tmp_path)
    assert saved.metrics[0]["epoch"] == 1 and saved.arrays and saved.options["dataset"] == dataset
    again = saved.networks[method]
    assert type(again) is type(net)
    assert torch.equal(again.predict(x.numpy()), net.predict(x))


def test_what_is_no_result_folder(tmp_path):
    with pytest.raises(RunError, match="cannot read"):
        load_run(tmp_path)


def test_a_folder_of_curves_has_arrays_and_no_networks(tmp_path):
    words = [*commands.SMALL, "--action", "plotcurves", "--results-dir", tmp_path]
    commands.call(*words, "--no-figures")
    run = load_run(commands.only_run(tmp_path))
    assert not run.networks and run.data is None and not run.metrics
    assert isinstance(run.arrays["rmse_T"], np.ndarray)
