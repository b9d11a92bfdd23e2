"""EP beside BPTT: step by step, their mismatch, and the audit of every update."""

from __future__ import annotations

import textwrap

import numpy as np

from drawing.style import PANEL, Arrays, legend_beside, symbol, whole_numbers

MISMATCH = {"S": "#4c72b0", "T": "#dd8452"}  # of neurons and of synapses
NEURONS_UNIT = r"$\nabla^{BPTT}_s$, $-\Delta^{EP}_s$ (loss per unit of $s$)"
SYNAPSES_UNIT = r"$\nabla^{BPTT}_W$, $-\Delta^{EP}_W$ (loss per unit of $W$"
LEAST_ANGLE = 0.01  # degrees, of an axis


def draw_processes(figure, panels: list[tuple], label: str, steps=None, most: int = 10) -> None:
    """A panel per (name, gradients (K, n), updates (K, n)), a colour per unit or synapse.

    Args:
        steps: (K,), where these are not all steps.
        most: units or synapses drawn per panel.
    """
    figure.set_size_inches(max(2, len(panels)) * PANEL[0], PANEL[1] + 0.7)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, gradients, updates) in zip(row, panels, strict=True):
        x = np.arange(len(gradients)) if steps is None else steps
        for k in range(min(gradients.shape[1], most)):
            axes.plot(x, gradients[:, k], "-", color=f"C{k}", lw=1.2, alpha=0.75)
            axes.plot(x, updates[:, k], "--", color=f"C{k}", lw=1.8)
        axes.set_title(symbol(name))
        whole_numbers(axes, "step $t$")
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        axes.grid(alpha=0.3)
        axes.margins(x=0.02)
    row[0].set_ylabel(label, fontsize=8)
    row[0].plot([], [], "k-", lw=1.2, label="BPTT")
    row[0].plot([], [], "k--", lw=1.8, label="EP")


def say_settling(figure, title: str, arrays: Arrays) -> None:
    """A title, and whether the free phase had come to rest, as the theorem asks."""
    said = str(arrays.get("settling", "free phase not examined"))
    lines = textwrap.wrap(said, int(15 * figure.get_figwidth()))  # letters of 8 points
    figure.set_figheight(figure.get_figheight() + 0.15 * len(lines))
    figure.suptitle("\n".join([title, *lines]), fontsize=8)


def draw_mismatch(figure, arrays: Arrays) -> None:
    """A bar per layer on the left, per weight on the right."""
    kinds = (("S", "layers", "neurons"), ("T", "synapses", "synapses"))
    for axes, (kind, names, title) in zip(figure.subplots(1, 2), kinds, strict=True):
        mean, std = arrays[f"rmse_{kind}"].T
        labels = [symbol(name) for name in arrays[names]]
        below = np.minimum(std, mean)  # an RMSE is never negative
        axes.bar(labels, mean, yerr=[below, std], capsize=4, color=MISMATCH[kind], width=0.6)
        for x, value in enumerate(mean):
            axes.text(x + 0.05, value, f"{value:.2g}", ha="left", va="bottom", fontsize=8)
        axes.set_title(title)
        axes.set_ylabel("relative RMSE" if kind == "S" else "")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)


def draw_audit(figure, arrays: Arrays) -> None:
    """Angle of every update to the gradient, and its norm beside the gradient's, per group."""
    rows, subjects = arrays["audit_rows"], arrays["audit_subjects"]
    angle = np.degrees(np.arccos(np.clip(arrays["audit_cosine"], -1, 1)))
    left, right = figure.subplots(1, 2, sharey=True)
    for k, subject in enumerate(subjects):
        look = {"label": subject, "color": f"C{k % 10}", "marker": "o" if k else "D", "s": 22}
        height = np.arange(len(rows)) + 0.5 * (k / len(subjects) - 0.4)
        left.scatter(np.maximum(angle[:, k], LEAST_ANGLE), height, **look)
        right.scatter(arrays["audit_norm_ratio"][:, k], height, **look)
    left.set_xscale("log")
    left.set_xlim(LEAST_ANGLE / 2, 250)
    left.axvline(90, color="grey", ls=":", lw=1)
    left.set_yticks(np.arange(len(rows)), rows, fontsize=8)
    left.invert_yaxis()
    left.set_xlabel(f"angle to the gradient (degrees; at {LEAST_ANGLE:g}: that or less)")
    right.axvline(1, color="grey", ls=":", lw=1)
    right.set_xlim(left=0)
    right.set_xlabel("norm in units of the gradient's")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    legend_beside(right)
