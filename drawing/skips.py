"""Layer-skipping networks: corrections per pair of layers, the map of changed weights.

Figures 3 and 5 of Gammell et al. 2021.
"""

from __future__ import annotations

import numpy as np

from drawing.style import LAYER_MARKERS, LAYERS, Arrays, symbol, whole_numbers

PIXELS = 600  # of a side of a map


def draw_corrections(axes, arrays: Arrays, method: str, measure: str) -> None:
    """Root mean square of what an epoch's batches change, per pair of adjacent layers.

    The measured corrections times the learning rate; Gammell et al. 2021, fig. 3.
    """
    mean = arrays[f"{method}_{measure}"].mean(1) * arrays["lr_tab"]  # (epochs, pairs)
    draw_pairs(axes, np.arange(1, len(mean) + 1), mean)
    whole_numbers(axes, "epoch")
    axes.set_ylabel("RMS correction of a batch")
    spread = arrays[f"{method}_log_spread"][-1]
    axes.set_title(f"{method}, spread of the last epoch {spread:.2f}", fontsize=9)


def draw_pairs(axes, x: np.ndarray, corrections: np.ndarray) -> None:
    """A line per pair of layers on a log axis: (points, pairs) over x (points,)."""
    from matplotlib import colormaps

    n_pairs = corrections.shape[1]
    colours = colormaps[LAYERS](np.linspace(0.9, 0, n_pairs))  # dark next to the data
    for k in reversed(range(n_pairs)):  # from the data on, as the paper counts
        name = f"W{k}{'x' if k == n_pairs - 1 else k + 1}"
        marker = LAYER_MARKERS[k % len(LAYER_MARKERS)]
        axes.plot(
            x, corrections[:, k], "-", marker=marker, markevery=max(1, len(x) // 12), ms=4,
            color=colours[k], label=symbol(name),
        )  # fmt: skip
    axes.set_yscale("log")
    axes.grid(alpha=0.3)


def draw_dW(figure, arrays: Arrays, method: str) -> None:  # noqa: N802
    """Map of mean |dW| over the whole weight matrix, in log colour; Gammell et al. 2021, fig. 5.

    Times the mean rate; links that are not there white. A dot of a large one is a mean of links.
    """
    from matplotlib.colors import LogNorm

    mask, axes = arrays[f"{method}_mask"].astype(bool), figure.subplots()
    changes = arrays[f"{method}_mean_dW"] * arrays["lr_tab"].mean()
    mean = coarse(changes[::-1, ::-1], mask[::-1, ::-1])
    high = np.nanmax(mean) or 1.0
    shown = np.maximum(mean, high / 1e4)  # a link that never moved is dark, not white
    ends = (-0.5, len(mask) - 0.5)
    image = axes.imshow(
        shown, norm=LogNorm(high / 1e3, high), cmap="viridis", interpolation="nearest",
        extent=(*ends, *ends[::-1]),
    )  # fmt: skip
    figure.colorbar(image, label=r"mean $|\Delta W|$ of a batch", extend="min")
    axes.set_xlabel("neuron, from the data to the output")
    axes.set_ylabel("neuron, from the data to the output")
    axes.set_title(f"{method}, {int(mask.sum() / 2)} links")


def coarse(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A square map in at most PIXELS rows: means of blocks, of what the mask has; NaN: nothing."""
    side = -(-len(values) // PIXELS)
    starts = np.arange(0, len(values), side)

    def sums(table: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(table, starts, axis=0), starts, axis=1)

    total, known = sums(np.where(mask, values, 0)), sums(mask.astype(np.int32))
    return np.divide(total, known, out=np.full(known.shape, np.nan), where=known > 0)
