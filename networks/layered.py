"""Layers joined by symmetric synapses, energy-based and prototypical: Ernoult et al. 2019.

net = EPdisc([10, 512, 784], activation="sigm", seed=0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from networks.activations import ACTIVATIONS
from networks.backprop import BP
from networks.equilibrium import EquilibriumNetwork
from networks.losses import LOSSES
from networks.schedule import Pairs, Tensors
from solvers import Relaxing, nudged_output, pulls

LEAST_SLOPE = 0.05  # of a layer's equation under a nudge so negative that its energy bends down
WEAK = 0.3  # feedback up to which sweeps need no over-relaxation


class LayerDrive(NamedTuple):
    """What a phase of a layered network leaves unchanged."""

    x: torch.Tensor  # (batch, n_x), the data as the synapses see it
    inputs: Tensors  # per layer (n_i,) or (batch, n_i): biases and data, times the gain
    links: list[list[tuple]]  # per layer i: (j, matrix), layer j contributes signal_j @ matrix


class LayeredNetwork(EquilibriumNetwork):
    """Layers joined by symmetric synapses; what they have in common in both settings.

    Args:
        size_tab: units per layer from the output backwards; the last entry is the data.
        activation: a key of `ACTIVATIONS`.
        dt: Euler step of the dynamics.
        seed: of the initial weights.
        loss: a key of `LOSSES`; with "cross-entropy" the output is no layer of the state.
        feedback: factor of what a layer receives from the one nearer to the output, in (0, 1]. Then
            the network has the energy in which layer i weighs feedback^-i, so that the update of
            its synapses does so, too.
    Raises:
        ValueError: fewer than two layers (three with a read-out), or a layer without units.
    """

    fewest = 2  # layers that there must be, the data included

    def __init__(
        self,
        size_tab: Sequence[int],
        activation: str = "sigm",
        dt: float = 1.0,
        seed: int = 0,
        loss: str = "squared",
        feedback: float = 1.0,
    ) -> None:
        super().__init__()
        self.loss, self.feedback = LOSSES[loss], feedback
        n_read = int(self.loss.reads_out)  # pairs of synapses that are the read-out's
        if len(size_tab) < self.fewest + n_read or min(size_tab) < 1:
            number, what = ("three", " with a read-out") if n_read else ("two", "")
            raise ValueError(
                f"size_tab {list(size_tab)} must list at least {number} positive layer sizes{what}"
            )
        n_out, size_tab = size_tab[0], list(size_tab[n_read:])
        self.size_tab = size_tab  # of the state and the data
        self.n_layers = len(size_tab) - 1  # the data are not a layer of the state
        self.rho = ACTIVATIONS[activation]
        self.dt = dt
        self.links = self.connections()
        self.gains = self.layer_gains()
        generator = torch.Generator().manual_seed(seed)
        if n_read:
            self.add_synapses((n_out, size_tab[0]), generator)
        for i, j in self.links:
            self.add_synapses((size_tab[i], size_tab[j]), generator)
        self.n_read, self.synapse_names = n_read, ["Wout"] * n_read
        self.synapse_names += [f"W{i}{'x' if j == self.n_layers else j}" for i, j in self.links]
        self.layer_names = [f"s{i}" for i in range(self.n_layers)]
        self.reach = list(range(self.n_layers))

    @property
    def joining(self) -> Pairs:
        """The synapses between layers: all but the read-out's."""
        return self.synapses[self.n_read :]

    @property
    def multiplications(self) -> int:
        """Weights by which a layer receives from one nearer to the output are not counted."""
        forwards = [*self.synapses[: self.n_read], *self.joining]
        return sum(w.numel() for w, _ in forwards)

    def options(self) -> dict[str, Any]:
        rho = next(name for name, kind in ACTIVATIONS.items() if kind is self.rho)
        loss = next(name for name, kind in LOSSES.items() if kind is self.loss)
        read_out = [len(self.biases[0])] * self.n_read
        sizes = [*read_out, *self.size_tab]
        return {"size_tab": sizes, "activation_function": rho, "dt": self.dt, "loss": loss}

    def connections(self) -> list[tuple[int, int]]:
        """Pairs (i, j): layer i receives from layer j by W_ij and sends back by its transpose."""
        return [(i, i + 1) for i in range(self.n_layers)]

    def layer_gains(self) -> list[float]:
        """Factor of all that a layer receives, moved out of the step into the constants."""
        return [self.rho.gain] * self.n_layers

    def signal(self, v: torch.Tensor) -> torch.Tensor:
        """What the synapses see of a layer."""
        raise NotImplementedError

    def constants(self, data: torch.Tensor) -> Tensors:
        x = self.signal(data.flatten(1))
        inputs: Tensors = [torch.zeros_like(self.biases[0][:1])] * self.n_layers
        for (i, j), (w, b) in zip(self.links, self.joining, strict=True):
            inputs[i] = inputs[i] + (b if j < self.n_layers else torch.addmm(b, x, w.t()))
        inputs = [self.scale_input(v, gain) for v, gain in zip(inputs, self.gains, strict=True)]
        joined = zip(self.links, self.joining, strict=True)
        inner = [w for (_, j), (w, _) in joined if j < self.n_layers]
        return [x, *inputs, *inner]

    def scale_input(self, v: torch.Tensor, gain: float) -> torch.Tensor:
        return v * gain if gain != 1.0 else v

    def wire(self, constants: Tensors) -> LayerDrive:
        x, *rest = constants
        inputs, inner = rest[: self.n_layers], rest[self.n_layers :]
        links: list[list[tuple]] = [[] for _ in inputs]
        inner_links = [link for link in self.links if link[1] < self.n_layers]
        for (i, j), w in zip(inner_links, inner, strict=True):
            links[i].append((j, w.t()))
            links[j].append((i, w if self.feedback == 1.0 else w * self.feedback))
        return LayerDrive(x, inputs, links)

    def initHidden(self, drive: LayerDrive) -> Tensors:
        return [drive.x.new_zeros(len(drive.x), n) for n in self.size_tab[:-1]]

    def received(self, drive: LayerDrive, signals: Tensors, i: int) -> torch.Tensor:
        """Gain times what layer i receives from its neighbours, its biases and the data."""
        total = drive.inputs[i]
        for j, matrix in drive.links[i]:
            total = torch.addmm(total, signals[j], matrix, alpha=self.gains[i])
        return total

    def move(self, s, goals, nudge):
        moved = [torch.lerp(v, goal, self.dt) for v, goal in zip(s, goals, strict=True)]
        if nudge is not None:
            moved[0] = torch.add(moved[0], nudge, alpha=self.dt)
        return moved

    @property
    def relaxing(self) -> Relaxing:
        """With weak feedback a sweep or two more than it takes to pass all layers are enough."""
        n = len(self.layer_names)
        plan = Relaxing(omega=1.2 if n < 3 else 1.5, nudged_sweeps=(n + 1, n + 1))
        return plan._replace(omega=1.0, least=2) if self.feedback <= WEAK else plan

    @property
    def separate(self):
        return self.blocks

    def seen(self, drive, s, i):
        return self.signal(s[i])

    def cut(self, drive, rows):
        inputs = [v[rows] if v.dim() > 1 else v for v in drive.inputs]
        return drive._replace(x=drive.x[rows], inputs=inputs)

    def add_contrast(self, pairs, drive, s_free, s_nudged, scales):
        free = [self.signal(v) for v in s_free]
        nudged = [self.signal(v) for v in s_nudged]
        pairs, scales = pairs[self.n_read :], scales[self.n_read :]
        for (i, j), (w, b), scale in zip(self.links, pairs, scales, strict=True):
            scale = scale / self.feedback**i
            # n_i n_j - f_i f_j as (n_i - f_i) n_j + f_i (n_j - f_j): 0 where nothing has changed
            change = nudged[i] - free[i]
            b.add_(change.sum(0), alpha=scale)
            if j == self.n_layers:  # the data are the same in both phases
                w.addmm_(change.t(), drive.x, alpha=scale)
            else:
                w.addmm_(change.t(), nudged[j], alpha=scale)
                w.addmm_(free[i].t(), nudged[j] - free[j], alpha=scale)


class EPcont(LayeredNetwork):
    """Energy-based setting: a gradient flow in continuous time, by Euler steps.

    ds_0/dt = -s_0 + W_0 rho(s_1) + b_0 + beta (y - s_0), and for i > 0
    ds_i/dt = -s_i + rho'(s_i) [W_i rho(s_i+1) + b_i + W_i-1^T rho(s_i-1)].
    As published, the output layer has no rho'; the update sees rho(s_0) all the same.

    Args:
        clamp: keep every state in [0, 1] after each step.
        exact_output: put rho' at the output layer too, which makes the dynamics a gradient flow.
            With a read-out layer 0 is a hidden layer, and has it in any case.
    """

    def __init__(
        self,
        size_tab: Sequence[int],
        activation: str = "sigm",
        dt: float = 0.2,
        clamp: bool = True,
        exact_output: bool = False,
        seed: int = 0,
        loss: str = "squared",
        feedback: float = 1.0,
    ) -> None:
        self.clamp = clamp
        read = LOSSES[loss].reads_out
        self.sloped = [exact_output or read] + [True] * (len(size_tab) - 2 - read)
        super().__init__(size_tab, activation, dt, seed, loss, feedback)

    def options(self) -> dict[str, Any]:
        return super().options() | {"no_clamp": not self.clamp, "exact_output": self.sloped[0]}

    def layer_gains(self) -> list[float]:
        return [self.rho.gain if sloped else 1.0 for sloped in self.sloped]

    def signal(self, v: torch.Tensor) -> torch.Tensor:
        return self.rho(v)

    def goals(self, drive, s):
        signals = [self.rho(v) for v in s]
        goals = []
        for i, v in enumerate(s):
            goal = self.received(drive, signals, i)  # (batch, n_i)
            if self.sloped[i]:
                goal = self.rho.times_slope(goal, v, signals[i])
            goals.append(goal)
        return goals

    def move(self, s, goals, nudge):
        moved = super().move(s, goals, nudge)
        if self.clamp:
            for v in moved:  # tensors that nobody else holds
                v.clamp_(0.0, 1.0)
        return moved

    def velocity(self, drive, before, after, target=None, beta=0.0):
        """As published, 0 for a unit that the clamp holds at 0 or 1."""
        rates = super().velocity(drive, before, after, target, beta)
        if not self.clamp:
            return rates
        return [f * ((v > 0) & (v < 1)) for f, v in zip(rates, after, strict=True)]

    def floor(self, s, target):
        straight = self.rho.bend is None and self.rho.gain == 1.0 and self.clamp
        return "" if self.sloped[0] or straight else "the output layer leaves out rho'"

    @property
    def relaxing(self) -> Relaxing:
        """A nudge of 1/2 run to rest lies far away: the published short steps teach better.

        Sweeps that go no further than a nudge must come closest to them.
        """
        n = self.n_layers
        if self.feedback <= WEAK:  # what a nudge does is small, and short steps do not carry it far
            return super().relaxing
        return super().relaxing._replace(nudged="step", nudged_sweeps=(n, n))

    @property
    def bounded(self) -> bool:
        return self.clamp

    def settled_layer(self, drive, s, seen, i, target, beta):
        received = self.received(drive, seen, i)  # (batch, n_i)
        if i == 0 and self.loss.reads_out and pulls(beta):
            return self.read_layer(received, s[i], seen[i], target, beta)
        pull = beta if i == 0 else 0.0
        if not self.sloped[i]:
            return nudged_output(received, target, pull, self.clamp)
        goal = self.newton_step(received, s[i], seen[i], target, pull)
        return goal.clamp_(0.0, 1.0) if self.clamp else goal

    def newton_step(self, received, v, rho, target, pull):
        """One step from v towards the root of F = v - rho'(v) a - pull (y - v), a = received/gain.

        The step is -F / F', F' = 1 + pull - rho''(v) a, but never so long that it could raise the
        layer's energy, whose second derivative is nowhere above 1 + pull + |a| max|rho''|: half of
        that is the least divisor. Where rho is straight the root itself is known.
        """
        if self.rho.bend is None:
            return nudged_output(received, target, pull, True)
        force = self.rho.times_slope(received, v, rho)
        slope = self.steepness(received, force, rho, pull)
        step = force.sub_(v)
        if pulls(pull):
            step.add_((target - v).mul_(pull))
        return step.div_(slope).add_(v)

    def steepness(self, received, force, rho, pull):
        """F' of `newton_step`, or its least divisor."""
        straight = torch.as_tensor(1 + pull, dtype=force.dtype, device=force.device)
        slope = torch.addcmul(straight, force, self.rho.bend(rho), value=-1.0)
        least = received.abs().mul_(self.rho.sharp / (2 * self.rho.gain)).add_((1 + pull) / 2)
        return torch.maximum(slope, least).clamp_(min=LEAST_SLOPE)

    def read_layer(self, received, v, rho, target, beta):
        """Where layer 0 rests under the pull of a read-out, which couples its units, or nearer."""
        answer = self.loss.output(self, [v])
        pull = beta * ((target - answer) @ self.weights[0])
        bounded = self.clamp or self.rho.bend is None
        if self.rho.bend is None:  # rho is straight within the bounds
            goal, slope = received + pull, torch.ones_like(v)
        else:
            force = self.rho.times_slope(received, v, rho)
            slope = 1 / self.steepness(received, force, rho, 0.0)
            goal = v + slope * (force + pull - v)
        gap = (goal.clamp(0.0, 1.0) if bounded else goal) - v
        if bounded:  # a unit that the bounds hold does not follow the pull
            slope = slope * ((goal > 0) & (goal < 1))
        goal = goal - slope * self.loss.held_back(self, answer, gap, slope, beta)
        return goal.clamp_(0.0, 1.0) if bounded else goal


class toyEPcont(EPcont):
    """The toy model: output and hidden layer joined with each other and both with the data.

    A gradient flow of one energy, with rho' everywhere: here EP's updates meet BPTT's gradients.
    """

    def __init__(
        self,
        size_tab: Sequence[int],
        activation: str = "tanh",
        dt: float = 0.2,
        clamp: bool = True,
        seed: int = 0,
    ) -> None:
        if len(size_tab) != 3:
            raise ValueError(f"the toy model has three layer sizes, size_tab has {len(size_tab)}")
        super().__init__(size_tab, activation, dt, clamp, exact_output=True, seed=seed)
        self.reach = [0, 0]  # as published: the hidden layer's process is shown from the start

    def options(self) -> dict[str, Any]:
        return super().options() | {"toymodel": True, "exact_output": False}  # which it always has

    def connections(self) -> list[tuple[int, int]]:
        return [(0, 1), (0, 2), (1, 2)]


class EPdisc(LayeredNetwork):
    """Prototypical setting: a map in discrete time, as in a recurrent network.

    s_i <- s_i + dt [-s_i + rho(W_i s_i+1 + b_i + W_i-1^T s_i-1)], plus dt beta (y - s_0) at the
    output. The paper's map is dt = 1; the published program takes 0.2 unless told otherwise.
    With a read-out layer 0 is a hidden layer, and its nudge a part of what it receives, inside rho.
    """

    rules = LayeredNetwork.rules | {"BP": BP}

    def options(self) -> dict[str, Any]:
        return super().options() | {"discrete": True}

    def signal(self, v: torch.Tensor) -> torch.Tensor:
        return v

    def scale_input(self, v: torch.Tensor, gain: float) -> torch.Tensor:
        return self.rho.affine(v)

    def goals(self, drive, s):
        return [self.rho.shape(self.received(drive, s, i)) for i in range(len(s))]

    def move(self, s, goals, nudge):
        if self.dt != 1.0:
            return super().move(s, goals, nudge)
        return goals if nudge is None else [goals[0] + nudge, *goals[1:]]

    def floor(self, s, target):
        """Where rho is straight its slope is 1, and 0 at a bound, which a nudge can leave.

        A read-out's nudge passes through rho, and leaves nothing out.
        """
        if self.loss.reads_out:
            return ""
        if self.rho.bend is not None or self.rho.gain != 1.0:
            return "the prototypical setting leaves out rho'"
        held = ((s[0] == 0) | (s[0] == 1)) & (s[0] != target)
        return (
            "an output rests at a bound of rho, off which the nudge moves it" if held.any() else ""
        )

    def nudge(self, s, target, beta):
        return None if self.loss.reads_out else super().nudge(s, target, beta)

    def pushed(self, drive, s, target, beta):
        if not (self.loss.reads_out and pulls(beta)):
            return drive
        push = beta * self.loss.pull(self, s, target)
        first = torch.add(drive.inputs[0], push, alpha=self.rho.gain)
        return drive._replace(inputs=[first, *drive.inputs[1:]])

    def feedforward(self, drive: NamedTuple) -> Tensors:
        """The layers after one pass from the data to the output, without any feedback."""
        s: Tensors = [drive.inputs[-1]] * self.n_layers
        for i in reversed(range(self.n_layers)):
            received = drive.inputs[i]  # of the last layer with the data
            for j, matrix in drive.links[i]:
                if j > i:
                    received = torch.addmm(received, s[j], matrix, alpha=self.gains[i])
            s[i] = self.rho.shape(received)
        return s

    def settled_layer(self, drive, s, seen, i, target, beta):
        return self.settled(self.received(drive, seen, i), s, i, target, beta)

    def settled(self, received, s, i, target, beta):
        """Where layer i rests, from what it receives times the gain, (batch, n_i).

        The pull of a read-out couples the units of layer 0: it is followed to first order.
        """
        goal = self.rho.shape(received)
        if i or not pulls(beta):
            return goal
        if not self.loss.reads_out:
            return nudged_output(goal, target, beta, False)
        v, gain = s[0].flatten(1), self.rho.gain
        answer = self.loss.output(self, s)
        nudged = received.flatten(1).add(beta * ((target - answer) @ self.weights[0]), alpha=gain)
        goal = self.rho.shape(nudged)
        slope = self.rho.times_slope(torch.full_like(goal, gain), nudged / gain, goal)
        held_back = self.loss.held_back(self, answer, goal - v, slope, beta)
        return self.rho.shape(nudged.sub_(held_back, alpha=gain)).view(s[0].shape)
