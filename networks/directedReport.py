"""What a trained batch of directed networks has become: learnt or not, how sparse, how stable.

arrays, text = report(net, data.train, schedule, history)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from datasets import Split
from networks.directedNetwork import DirectedNetwork
from networks.directedRules import first_state, learn_by_directed, outputs, rest_directed
from networks.schedule import Tensors
from networks.stability import stability

LEARNT = 1e-3  # mean squared error below which a task counts as learnt
GRID = 41  # points a side of a decision map


def whole_batch(split: Split, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """All samples: directed networks are taught and tested with all of them at once."""
    return split.batch(slice(0, len(split)), dtype)


@torch.no_grad()
def report(
    net: DirectedNetwork, split: Split, schedule: Any, history: dict[str, torch.Tensor]
) -> tuple[dict[str, np.ndarray], str]:
    """Test trained networks once more and say what they are like.

    Args:
        split: the patterns.
        history: what `train` recorded, (epochs, 1, n_nets) by name; may be empty.
    Returns:
        Arrays by name (n_nets, ...): output, W, what `stability` says, stuck, learnt,
        learnt_epoch (NaN: never), final_mse, final_sparsity (%), decision (n_nets, GRID, GRID) for
        two inputs and one output; and a text for people.
    """
    data, target = whole_batch(split, schedule.dtype)
    lesson = rest_directed(net, data, target, schedule)
    arrays = {name: v.cpu().numpy() for name, v in stability(net, data, lesson.state).items()}
    arrays |= {"output": lesson.output.cpu().numpy(), "W": net.W.detach().cpu().numpy()}
    arrays |= {"patterns": data.flatten(1).cpu().numpy(), "targets": target.cpu().numpy()}
    arrays |= {"admissible": net.mask.cpu().numpy()}
    arrays["final_diverged"] = net.diverged.cpu().numpy()
    measures = {name: v.cpu().numpy() for name, v in lesson.measures.items()}
    arrays |= {"final_mse": measures["mse_free"], "final_sparsity": measures["sparsity"]}
    arrays["stuck"] = stuck(net, lesson.state).cpu().numpy()
    arrays["learnt"] = measures["mse_free"] < LEARNT
    if "mse_free" in history:
        arrays["learnt_epoch"] = first_epoch(history["mse_free"][:, 0].cpu().numpy())
    if data.flatten(1).shape[1] == 2 and net.n_out == 1:
        arrays["decision"] = decision_map(net, data, schedule)
    return arrays, summary(arrays, measures["error_free"])


def stuck(net: DirectedNetwork, s: Tensors) -> torch.Tensor:
    """% of the hidden neurons at the same bound for all patterns, (n_nets,); NaN without any.

    DEEP's rule changes nothing that leads into such a neuron.
    """
    hidden = net.pack(s)[..., : -net.n_out]  # (n_nets, batch, hidden)
    same = (hidden <= 0).all(1) | (hidden >= 1).all(1)
    return 100 * same.double().mean(1)


def first_epoch(mse: np.ndarray) -> np.ndarray:
    """First epoch with an error below LEARNT of each network, NaN: never; mse is (epochs, nets)."""
    below = mse < LEARNT
    return np.where(below.any(0), below.argmax(0) + 1.0, np.nan)


def decision_map(net: DirectedNetwork, data: torch.Tensor, schedule: Any) -> np.ndarray:
    """Output of each network over the unit square, (n_nets, GRID, GRID): second input by first."""
    side = torch.linspace(0, 1, GRID, dtype=data.dtype, device=data.device)
    second, first = torch.meshgrid(side, side, indexing="ij")
    points = torch.stack([first.flatten(), second.flatten()], 1)
    answer = rest_directed(net, points, points[:, :1], schedule).output[..., 0]
    return answer.reshape(-1, GRID, GRID).float().cpu().numpy()


def summary(arrays: dict[str, np.ndarray], error: np.ndarray) -> str:
    """What the networks have come to, as lines for people."""
    n = len(error)
    lines = [
        f"networks: {n}, diverged {int(arrays['final_diverged'].sum())}",
        f"learnt (MSE below {LEARNT:g}) at the end: {share(arrays['learnt'])}, no wrong answer: "
        f"{share(error == 0)}",
    ]
    if "learnt_epoch" in arrays:
        epochs = arrays["learnt_epoch"][np.isfinite(arrays["learnt_epoch"])]
        line = f"MSE below {LEARNT:g} at some epoch: {share(np.isfinite(arrays['learnt_epoch']))}"
        if len(epochs):
            quartiles = "/".join(f"{v:.0f}" for v in np.percentile(epochs, (25, 50, 75)))
            line += f", epoch (quartiles): {quartiles}"
        lines.append(line)
    learnt = arrays["learnt"]
    parts = [f"{name} {arrays['stuck'][who].mean():.0f} %" for name, who in
             (("networks that have learnt", learnt), ("others", ~learnt)) if who.any()]  # fmt: skip
    lines.append("hidden neurons at the same bound for all patterns: " + ", ".join(parts))
    sparsity, right = arrays["final_sparsity"], arrays["final_sparsity"][error == 0]
    best = f"{right.max():.2f}" if len(right) else "-"
    lines.append(f"sparsity: mean {sparsity.mean():.2f} %, best without a wrong answer {best} %")
    certified = arrays["certified_row"] | arrays["certified_column"]
    lines += [
        f"stability certified by Proposition 2: {share(certified)}; neurons that fail, by row "
        f"{arrays['fails_row'].mean():.1f}, by column {arrays['fails_column'].mean():.1f}",
        f"stable by the eigenvalues of the neurons that move: {share(arrays['stable'])} "
        f"(spectral abscissa, median {np.median(arrays['abscissa']):.3g})",
    ]
    return "\n".join(lines) + "\n"


def share(flags: np.ndarray) -> str:
    return f"{100 * np.mean(flags):.0f} %"


def predictions(net: DirectedNetwork, split: Split, schedule: Any) -> str:
    """The answer to every input pattern: mean and range over the networks, and who is right."""
    data, target = whole_batch(split, schedule.dtype)
    output = rest_directed(net, data, target, schedule).output  # (n_nets, batch, n_out)
    wrong = split.mistakes(output, target)
    lines = ["input            target   output (mean, range over networks)   right"]
    for k in range(min(len(data), 32)):
        values = output[:, k]
        shown = " ".join(
            f"{v.mean():.3f} ({v.min():.3f}..{v.max():.3f})" for v in values.unbind(-1)
        )
        inputs, wanted = (
            " ".join(f"{v:g}" for v in row[k].flatten()[:6]) for row in (data, target)
        )
        right = 100 * (wrong[:, k] == 0).double().mean()
        lines.append(f"{inputs:<16} {wanted:<8} {shown:<36} {right:.0f} %")
    if len(data) > 32:
        lines.append(f"... and {len(data) - 32} more")
    return "\n".join(lines)


def follow_angle(net: DirectedNetwork, split: Split, schedule: Any, epochs: int) -> np.ndarray:
    """Cosine of the angle between the rule's update and minus the true gradient, (epochs, n_nets).

    The networks are taught along the way. The gradient goes back through the whole free phase; NaN
    where it is exactly 0.
    """
    data, target = whole_batch(split, schedule.dtype)
    cosines = []
    net.use_optimizer(schedule)
    for epoch in range(1, epochs + 1):
        plan = schedule.at(epoch)
        cosines.append(cosine_to_descent(net, data, target, plan).cpu().numpy())
        learn_by_directed(net, data, target, plan)
    return np.array(cosines)


# How far from gradient descent -------------------------------------------------------------------


def loss_gradients(
    net: DirectedNetwork,
    data: torch.Tensor,
    target: torch.Tensor,
    T: int,
    K: int | None = None,
    epoch: int = 1,
    start=None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of each network's loss after a free phase of T steps, through its last K (or all).

    Returns:
        dL/dW (n_nets, N, N), 0 where no connection is allowed, and dL/dB. L is half the squared
        error summed over the outputs, mean over the batch.
    """
    K = T if K is None else K
    with torch.no_grad():
        drive = net.drive(data)
        state = net.run(drive, first_state(net, drive, epoch, start), T - K).state
    with torch.enable_grad():
        drive = net.drive(data)
        for _ in range(K):
            state = net.pack(net.stepper(drive, net.layers(state)))
        loss = (outputs(net, state) - target).square().sum() / (2 * len(target))
    pair = net.synapses[0]
    return torch.autograd.grad(loss, pair, allow_unused=True, materialize_grads=True)


@torch.no_grad()
def cosine_to_descent(
    net: DirectedNetwork,
    data: torch.Tensor,
    target: torch.Tensor,
    schedule: Any,
    K: int | None = None,
    start=None,
) -> torch.Tensor:
    """Cosine of the angle between the rule's update and minus the true gradient, (n_nets,).

    The gradient is that of the loss of the free phase (`loss_gradients`). It is 0, and the cosine
    NaN, where no small change of the weights changes an output: all are held at 0 or 1.
    """
    epoch = getattr(schedule, "epoch", 1)
    drive = net.drive(data)
    free = net.run(drive, first_state(net, drive, epoch, start), schedule.T, stop=net.stop)
    nudged = net.run(drive, free.state, schedule.Kmax, target, schedule.beta, net.stop)
    dW, dB = net.contrast(drive, free.state, nudged.state, nudged.trace)
    update = (dW * net.mask, dB)
    gradient = loss_gradients(net, data, target, schedule.T, K, epoch, start)
    a, b = (torch.cat([v.flatten(1) for v in pair], 1) for pair in (update, gradient))
    return math.copysign(1.0, schedule.beta) * -(a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
