"""The base class of every network with a state that is driven to rest and a local rule.

Layer 0 is the output; layers are counted, and sizes listed, from the output backwards, as in
Ernoult et al. 2019. The data are the layer after the last one and never move.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from networks.base import Network
from networks.rules import BPTT, CONTRASTIVE, COUPLED, EP
from networks.schedule import Pairs, Tensors
from solvers import Beta, Relaxing, pulls

BLOCK = 10  # steps per call of a compiled network: a call costs more than a step


class EquilibriumNetwork(Network):
    """A state that is driven to rest, and a local rule that reads it.

    A subclass gives `constants` and `wire` (what a phase leaves unchanged), `initHidden` (the state
    to start from), `goals` and `move`, or `stepper` and `velocity` (one step), and `add_contrast`
    (the local rule). `synapses` holds its parameters as (weight, bias) pairs and `synapse_names`
    their names, one learning rate each. To be relaxed it gives `settled_layer`, and, where the
    plain ones do not serve, `blocks`, `sample_shape`, `movable`, `seen`, `finished`, `cut` and
    `bounded`.
    """

    synapse_names: list[str]
    layer_names: list[str]
    reach: list[int]  # per layer, steps before a nudge of the output can show in it
    dt: float
    nudge_gain = 1.0  # the nudge descends so many times the loss
    rules = {"EP": EP, "BPTT": BPTT, "coupled": COUPLED, "contrastive": CONTRASTIVE}
    relaxing = Relaxing()  # how it is relaxed unless told otherwise
    restless = ""  # why it cannot be relaxed, if it cannot
    bounded = False  # every state is kept in [0, 1]

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()

    @property
    def synapses(self) -> Pairs:
        return list(zip(self.weights, self.biases, strict=True))

    @property
    def n_rates(self) -> int:
        """How many learning rates it takes: one for each synapse group."""
        return len(self.weights)

    def rates_of(self, lr_tab: Sequence[float]) -> Sequence[float]:
        """The rate of every pair of `synapses`, from the `n_rates` that it takes."""
        return lr_tab

    @property
    def devices(self) -> list[nn.Parameter]:
        return list(self.weights)

    @property
    def multiplications(self) -> int:
        return sum(w.numel() for w, _ in self.synapses)

    def add_synapses(self, shape: Sequence[int], generator: torch.Generator) -> None:
        """Append a weight and its bias, both uniform in +-1/sqrt(fan-in) (torch's own default)."""
        bound = 1.0 / math.sqrt(math.prod(shape[1:]))
        for parameters, size in ((self.weights, shape), (self.biases, shape[:1])):
            values = torch.empty(*size).uniform_(-bound, bound, generator=generator)
            parameters.append(nn.Parameter(values))

    def constants(self, data: torch.Tensor) -> Tensors:
        """Everything a phase leaves unchanged, as tensors that depend on the parameters."""
        raise NotImplementedError

    def wire(self, constants: Tensors) -> NamedTuple:
        """Lay out the `constants` as the steps of a phase read them."""
        raise NotImplementedError

    def drive(self, data: torch.Tensor) -> NamedTuple:
        """What `forward` needs of the data, computed once per batch."""
        return self.wire(self.constants(data))

    def initHidden(self, drive: NamedTuple) -> Tensors:
        """Layers at zero."""
        raise NotImplementedError

    def goals(self, drive: NamedTuple, s: Tensors) -> Tensors:
        """Where the dynamics ds/dt = goal - s draws each layer, but for the nudge."""
        raise NotImplementedError

    def nudge(self, s: Tensors, target: torch.Tensor | None, beta: Beta) -> torch.Tensor | None:
        """What the target adds to ds_0/dt: beta times the pull of the loss, (batch, units)."""
        return beta * self.loss.pull(self, s, target) if pulls(beta) else None

    def pushed(
        self, drive: NamedTuple, s: Tensors, target: torch.Tensor | None, beta: Beta
    ) -> NamedTuple:
        """The drive with the nudge in it, of networks whose layer 0 receives it as an input."""
        return drive

    def move(self, s: Tensors, goals: Tensors, nudge: torch.Tensor | None) -> Tensors:
        """Take one Euler step of `dt`, within the bounds of the states."""
        raise NotImplementedError

    def velocity(
        self,
        drive: NamedTuple,
        before: Tensors,
        after: Tensors,
        target: torch.Tensor | None = None,
        beta: Beta = 0.0,
    ) -> Tensors:
        """ds/dt in the step that led from `before` to `after`, per layer."""
        goals = self.goals(self.pushed(drive, before, target, beta), before)
        nudge = self.nudge(before, target, beta)
        rates = [goal - v for goal, v in zip(goals, before, strict=True)]
        if nudge is not None:
            rates[0] = rates[0] + nudge
        return rates

    def stepper(
        self,
        drive: NamedTuple,
        s: Tensors,
        target: torch.Tensor | None = None,
        beta: Beta = 0.0,
    ) -> Tensors:
        """Run the dynamics for one step; the state that came in is left as it was."""
        goals = self.goals(self.pushed(drive, s, target, beta), s)
        return self.move(s, goals, self.nudge(s, target, beta))

    def advance(
        self,
        drive: NamedTuple,
        s: Tensors,
        target: torch.Tensor | None = None,
        beta: Beta = 0.0,
    ) -> Tensors:
        """A step as the hardware takes it, `stepper` and the noise of the states."""
        s = self.stepper(drive, s, target, beta)
        return self.like(s, [self.shaken(v) for v in s]) if self.noise.shakes else s

    def shaken(self, v: torch.Tensor) -> torch.Tensor:
        """A layer with new noise, within the bounds of the states."""
        v = v + self.noise.drawn(v)
        return v.clamp(0.0, 1.0) if self.bounded else v

    def like(self, s: Tensors, layers: Tensors) -> Tensors:
        """These layers as a state of the kind of s."""
        return layers

    def add_contrast(
        self,
        pairs: Pairs,
        drive: NamedTuple,
        s_free: Tensors,
        s_nudged: Tensors,
        scales: Sequence[float],
    ) -> None:
        """Add scale * (dPhi/dtheta at s_nudged - dPhi/dtheta at s_free), summed over the batch.

        Args:
            pairs: (weight, bias) tensors shaped as `synapses`, changed in place.
            scales: a factor per pair.
        """
        raise NotImplementedError

    def forward(
        self,
        drive: NamedTuple,
        s: Tensors,
        steps: int,
        target: torch.Tensor | None = None,
        beta: Beta = 0.0,
        observe: Callable[[int, Tensors, Tensors], bool] | None = None,
    ) -> Tensors:
        """Run a phase: the free phase, or with `target` and `beta` the nudged one.

        Args:
            drive: what `drive(data)` returned.
            s: layers, each (batch, ...), output first.
            target: (batch, n_out).
            beta: strength of the nudge of the output towards the target, of all samples or
                (batch, 1) of each; either sign.
            observe: called with (step, state before, state after); True ends the phase.
        Returns:
            The state after `steps` steps, or after the step at which `observe` said stop.
        Raises:
            Stopped: of a network that is being trained, by a signal.
        """
        done = 0
        if self.block is not None and observe is None and not self.noise.shakes:
            done = steps - steps % BLOCK
            for _ in range(done // BLOCK):
                self.stopping.grant()
                s = self.block(drive, s, target, beta)
        for t in range(done, steps):
            self.stopping.grant()
            before, s = s, self.advance(drive, s, target, beta)
            if observe is not None and observe(t, before, s):
                break
        return s

    # What `relax` asks for ------------------------------------------------------------------

    @property
    def blocks(self) -> list[list[int]]:
        """Layers that do not see each other and move together, in the order they are swept.

        Of layers that see only their neighbours: every second one, then the others, beginning with
        the last, which sees the data.
        """
        backwards = list(reversed(range(len(self.layer_names))))
        return [block for block in (backwards[::2], backwards[1::2]) if block]

    def sample_shape(self, s: Tensors) -> torch.Size:
        """Of what there is one of for each sample."""
        return s[0].shape[:-1]

    def movable(self, s: Tensors) -> Tensors:
        """A copy of the state whose layers are changed in place."""
        return [v.clone() for v in s]

    def seen(self, drive: NamedTuple, s: Tensors, i: int) -> Any:
        """What the other layers see of layer i, made anew whenever it has moved."""
        return s[i]

    def settled_layer(
        self,
        drive: NamedTuple,
        s: Tensors,
        seen: list,
        i: int,
        target: torch.Tensor | None,
        beta: Beta,
    ) -> torch.Tensor:
        """Where layer i rests if the others stay where they are, or nearer to it; a new tensor.

        Args:
            s: what `movable` returned. seen: what `seen` returned, per layer.
            target, beta: of the nudge, which is part of the output's own equation.
        """
        raise NotImplementedError

    def finished(self, drive: NamedTuple, s: Tensors, seen: list) -> Tensors:
        """The state as a phase leaves it."""
        return s

    def cut(self, drive: NamedTuple, rows: torch.Tensor) -> NamedTuple:
        """What a phase of these samples, (n,) indices, leaves unchanged."""
        raise NotImplementedError

    # What the rules ask for -----------------------------------------------------------------

    def rows_of(self, s: Tensors, rows: torch.Tensor | slice) -> Tensors:
        """The state of these samples."""
        return [v[rows] for v in s]

    def with_output(self, s: Tensors, output: torch.Tensor) -> Tensors:
        """The state with another output; the one that came in is left as it was."""
        return [output, *list(s)[1:]]

    @property
    def separate(self) -> list[list[int]]:
        """Layers in blocks whose parts of a step can be computed by themselves, for its adjoint.

        Inside a block no unit may see another. One block of all layers may be anything.
        """
        return [list(range(len(self.layer_names)))]

    def ends(self, s_free: Tensors, s_minus: Tensors, s_plus: Tensors) -> tuple[Tensors, Tensors]:
        """The two states whose contrast is the update, if the nudges were -beta and beta."""
        return s_minus, s_plus

    def compile_steps(self) -> None:
        """Hand the steps of a phase to torch.compile; a phase that is observed stays as it is."""

        def block(drive, s, target, beta):
            for _ in range(BLOCK):
                s = self.stepper(drive, s, target, beta)
            return s

        self.block = torch.compile(block, dynamic=False)  # BLOCK steps in one call

    def computeGradients(
        self,
        drive: NamedTuple,
        s_free: Tensors,
        s_nudged: Tensors,
        beta: float,
        direct: Pairs = (),
    ) -> Pairs:
        """EP's update of every parameter: an ascent direction, mean over the batch.

        Args:
            direct: what the loss asks of the first pairs whatever the nudge does, added to them.
        Returns:
            (weight, bias) pairs shaped as `synapses`:
            1 / (beta batch) * [dPhi/dtheta (nudged) - dPhi/dtheta (free)].
        Source: Scellier & Bengio 2017; Ernoult et al. 2019.
        """
        pairs = [(torch.zeros_like(w), torch.zeros_like(b)) for w, b in self.synapses]
        scale = 1.0 / (beta * len(s_free[0]))
        self.add_contrast(pairs, drive, s_free, s_nudged, [scale] * len(pairs))
        for pair, more in zip(pairs, direct, strict=False):
            for total, v in zip(pair, more, strict=True):
                total.add_(v)
        return pairs

    @torch.no_grad()
    def learn(
        self,
        drive: NamedTuple,
        s_free: Tensors,
        s_nudged: Tensors,
        beta: float,
        lr_tab: Sequence[float],
        direct: Pairs = (),
    ) -> dict[str, torch.Tensor]:
        """`computeGradients` and `updateWeights` in one: products go straight into the weights.

        Args:
            direct: as for `computeGradients`.
        Returns:
            What a network measures of its own updates, by name; most measure nothing.
        """
        if not self.team.alone or self.optimizer is not None:
            update = self.computeGradients(drive, s_free, s_nudged, beta, direct)
            self.updateWeights(update, lr_tab)
            return {}
        lr_tab = self.rates_of(lr_tab)
        scales = [lr / (beta * len(s_free[0])) for lr in lr_tab]
        with self.noise.clean():
            self.add_contrast(self.synapses, drive, s_free, s_nudged, scales)
            for pair, more, lr in zip(self.synapses, direct, lr_tab, strict=False):
                for parameter, v in zip(pair, more, strict=True):
                    parameter.add_(v, alpha=lr)
        return {}

    # What `audit` asks for ------------------------------------------------------------------

    def pupil(self, rate: float) -> EquilibriumNetwork:
        """A copy that is taught with this rate, and by nothing but its rule."""
        return copy.deepcopy(self)

    def floor(self, s: Tensors, target: torch.Tensor) -> str:
        """Why EP's update does not tend to the gradient at the rest s as beta tends to 0.

        Empty where theory says that it does.
        """
        return ""

    @torch.no_grad()
    def learn_from(
        self, gradients: Pairs, s_free: Tensors, lr_tab: Sequence[float]
    ) -> dict[str, torch.Tensor]:
        """Take an update that is known, an ascent direction; return what `learn` returns."""
        self.updateWeights(gradients, lr_tab)
        return self.measures_of(gradients, s_free)

    def measures_of(self, gradients: Pairs, s_free: Tensors) -> dict[str, torch.Tensor]:
        """What a network measures of an update that it has taken, by name."""
        return {}

    @torch.no_grad()
    def updateWeights(self, gradients: Pairs, lr_tab: Sequence[float]) -> None:
        """Add lr * gradient (an ascent direction) to each weight and its bias.

        Where the network has an optimiser, it decides what is added. Of a network that several
        processes teach, the gradients become the mean over all of them.
        """
        lr_tab = self.rates_of(lr_tab)
        self.team.average(g for pair in gradients for g in pair)
        with self.noise.clean():
            if self.optimizer is not None:
                updates = [g for part in zip(*gradients, strict=True) for g in part]
                self.optimizer.step([*self.weights, *self.biases], updates, [*lr_tab, *lr_tab])
                return
            for pair, gradient, lr in zip(self.synapses, gradients, lr_tab, strict=True):
                for parameter, g in zip(pair, gradient, strict=True):
                    parameter.add_(g, alpha=lr)
