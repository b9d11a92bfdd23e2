"""Which nudged phase teaches best after a relaxed free phase: sweeps, or the published steps.

    python benchmarks/nudged.py P-1h --data-dir data --epochs 3
    python benchmarks/nudged.py EB-1h --data-dir data --epochs 5 --rates 0.1 0.4 --stepped
    python benchmarks/nudged.py P-3h --data-dir data --batches 1000

Every line is a training of MNIST from the same weights in the same order: errors per epoch.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import relaxing  # noqa: E402

from datasets import load_dataset  # noqa: E402
from netFunctions import Particles  # noqa: E402
from process import StopRequest  # noqa: E402
from teaching.epoch import Epoch  # noqa: E402
from teaching.progress import Progress  # noqa: E402


def plans_of(row, net, options):
    """By what it is called, the schedule of each way to run the nudged phase."""
    depth = len(net.layer_names)
    base = dataclasses.replace(row.schedule, epochs=options.epochs)
    if options.rates:
        base = dataclasses.replace(base, lr_tab=options.rates)
    relax = dataclasses.replace(base, solver="relax")
    sweeps = options.sweeps or sorted({depth, depth + 1, 2 * depth})
    plans = {f"{base.Kmax} steps": dataclasses.replace(relax, nudged="step")}
    for n in sweeps:
        plans[f"{n} sweeps"] = dataclasses.replace(relax, nudged="relax", nudged_sweeps=n)
    return plans | ({"both phases stepped": base} if options.stepped else {})


def train(row, plan, data):
    """Errors after each epoch: [(train, test)]."""
    net, progress, found = row.build(), Progress(), []
    particles = Particles(), Particles()
    for number in range(1, plan.epochs + 1):
        epoch = Epoch(net, "EP", data, plan.at(number), particles, tqdm(disable=True))
        with StopRequest() as stop:
            result = epoch.run(progress, stop)
        found.append((result["train_error"], result["test_error"]))
        progress.move_on(0, 1)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("row", choices=list(relaxing.ROWS))
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="where MNIST is")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batches", type=int, metavar="N", help="of an epoch; left out: all")
    parser.add_argument("--rates", type=float, nargs="+", help="left out: the paper's")
    parser.add_argument("--sweeps", type=int, nargs="+", help="left out: by the depth")
    parser.add_argument("--stepped", action="store_true", help="step both phases, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    row = relaxing.ROWS[options.row]
    data = load_dataset("mnist", options.data_dir)
    if options.batches:
        n = options.batches * row.schedule.batch_size
        part = dataclasses.replace(data.train, x=data.train.x[:n], y=data.train.y[:n])
        data = data._replace(train=part)
    for name, plan in plans_of(row, row.build(), options).items():
        errors = ", ".join(f"{train:.2f} {test:.2f}" for train, test in train(row, plan, data))
        print(f"{row.name}, {name}: train and test error per epoch {errors} %", flush=True)


if __name__ == "__main__":
    main()
