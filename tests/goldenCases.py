"""The stored cases of tests/golden (its README defines every key) as networks and tensors."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from netClasses import EPcont, EPdisc, EquilibriumNetwork, convEP, toyEPcont

GOLDEN = Path(__file__).parent / "golden"
# Largest relative error, by precision: of everything, and of differences of large sums (the
# updates of convolutional nets), as the files' own documentation gives them.
TOLERANCE = {torch.float64: (1e-9, 1e-9), torch.float32: (2e-4, 2e-3)}
DEEP_CONV_FLOAT32 = 1e-2  # the same for conv_3conv_2fc_*


class Case(NamedTuple):
    name: str
    dtype: torch.dtype
    net: EquilibriumNetwork
    keys: list[str]  # suffix of each synapse group's arrays: "_0", "_01", "fc_0", "conv_1"
    values: dict[str, np.ndarray]
    x: torch.Tensor
    y: torch.Tensor

    def number(self, key: str):
        return self.values[key].item()

    def check(self, actual, key: str, update: bool = False) -> None:
        """Assert that an array equals the stored one; `update`: it is a difference of sums."""
        plain, of_updates = TOLERANCE[self.dtype]
        bound = of_updates if update and self.name.startswith("conv") else plain
        if bound == of_updates and self.name.startswith("conv_3conv") and bound > 1e-9:
            bound = DEEP_CONV_FLOAT32
        error = relative_error(actual, self.values[key])
        assert error < bound, f"{self.name} {key}: relative error {error:.2e}, bound {bound:.0e}"


def relative_error(actual, expected: np.ndarray) -> float:
    actual = torch.as_tensor(actual).detach().double().numpy()
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    largest = np.abs(expected).max()
    return float(np.abs(actual - expected).max() / (largest if largest else 1.0))


def names(*prefixes: str) -> list[str]:
    found = sorted(p.stem for p in GOLDEN.glob("*.npz") if p.stem.startswith(prefixes))
    assert found, f"no files {prefixes} in {GOLDEN}"
    return found


def load(name: str, dtype: torch.dtype) -> Case:
    with np.load(GOLDEN / f"{name}.npz") as file:
        values = {key: file[key] for key in file.files}
    net, keys = build(name, values)
    net = net.to(dtype)
    with torch.no_grad():
        for (w, b), key in zip(net.synapses, keys, strict=True):
            w.copy_(torch.from_numpy(values[f"W{key}"]))
            b.copy_(torch.from_numpy(values[f"b{key}"]))
    x, y = (torch.from_numpy(values[key]).to(dtype) for key in ("x", "y"))
    return Case(name, dtype, net, keys, values, x, y)


def build(name: str, values: dict) -> tuple[EquilibriumNetwork, list[str]]:
    sizes, rho = values["size_tab"].tolist(), str(values["activation"])
    chain = [f"_{i}" for i in range(len(sizes) - 1)]
    dt = values["dt"].item() if "dt" in values else 1.0
    clamp = not values.get("no_clamp", np.array(0)).item()
    if name.startswith("toy"):
        return toyEPcont(sizes, rho, dt, clamp), ["_01", "_0x", "_1x"]
    if "epcont" in name:
        return EPcont(sizes, rho, dt, clamp), chain
    if "epdisc" in name:
        return EPdisc(sizes, rho, dt), chain
    channels = values["C_tab"].tolist()
    net = convEP(
        sizes,
        channels,
        values["x"].shape[2:],
        rho,
        Fconv=values["Fconv"].item(),
        Fpool=values["Fpool"].item(),
        padding=bool(values["padding"].item()),
    )
    dense = [f"fc_{i}" for i in range(len(sizes))]
    return net, dense + [f"conv_{k}" for k in range(len(channels) - 1)]
