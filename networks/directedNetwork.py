"""Neurons joined by one-way connections: what DEEP and asymmetric EP share.

W[i, j] is the weight of the connection from neuron i to neuron j; inputs come first, then hidden
neurons, then outputs. Many independent networks are one batch of tensors, and each has its own
seed: network k is the same in a batch of 10 and in a batch of 100, bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from networks.directedParts import (
    PRUNING,
    STATES,
    WEIGHTS,
    DirectedDrive,
    Plasticity,
    Trace,
    TracedState,
    connection_mask,
    draw,
    prune,
    trace_of,
    zero_trace,
)
from networks.directedRules import Phase
from networks.equilibrium import EquilibriumNetwork
from networks.schedule import Tensors
from solvers import Beta, pulls

CHUNK = 50  # steps between two looks at the states: a look makes a GPU wait
STD_WEIGHTS = 0.05  # as published
HIGHEST_START = 0.1  # as published


class DirectedNetwork(EquilibriumNetwork):
    """Neurons joined by one-way connections, ds/dt = F(s), every state kept in [0, 1].

    A subclass gives `leak` (what a neuron's own activity takes away from F) and the local rule.
    The layers of the state are (batch, n) for one network, (n_nets, batch, n) for many; `pack`
    joins them into the one tensor (n_nets, batch, n_free) that the fast loop works on.

    Args:
        n_in: values per sample of the data.
        hidden: number of hidden neurons; a list of them, layer by layer from the inputs on, if
            `layered`.
        n_out: number of outputs.
        layered: connect neighbouring layers only, instead of everything with everything.
        n_nets: independent networks.
        seed: of initial weights, initial states and sparsification.
        dt: Euler step of the dynamics.
        stop: end a phase of a network after the first step in which the sum of F^2 over samples and
            neurons is not above this; 0: never.
        plasticity: how weights change; the published settings of the class if left out.
        std: standard deviation of the initial weights.
        highest_start: initial states are uniform between 0 and this, drawn anew every epoch (as
            published); 0: every free phase starts from 0, and no network unlearns by its start.
    Raises:
        ValueError: a size that is not positive (0 hidden neurons are allowed), or several layers
            without `layered`.
    """

    published = Plasticity()
    traces = False  # whether the rule needs the steps of the nudged phase, or only its end
    extra_inputs = 0

    def __init__(
        self,
        n_in: int,
        hidden: int | Sequence[int],
        n_out: int,
        layered: bool = False,
        n_nets: int = 1,
        seed: int = 0,
        dt: float = 0.05,
        stop: float = 0.0,
        plasticity: Plasticity | None = None,
        std: float = STD_WEIGHTS,
        highest_start: float = HIGHEST_START,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        hidden = [hidden] if isinstance(hidden, int) else list(hidden)
        hidden = [] if hidden == [0] else hidden
        if min([n_out, n_nets, *hidden]) < 1 or n_in < 0:
            raise ValueError(
                f"n_in {n_in}, hidden {hidden}, n_out {n_out}, n_nets {n_nets}: sizes are positive"
            )
        if len(hidden) > 1 and not layered:
            raise ValueError(f"a complete graph has one number of hidden neurons, not {hidden}")
        self.n_x, self.n_out, self.n_nets = n_in + self.extra_inputs, n_out, n_nets
        self.sizes = [*hidden, n_out]  # of the layers that move, from the inputs on
        self.n_free = sum(self.sizes)
        self.seed, self.dt, self.stop, self.highest_start = seed, dt, stop, highest_start
        self.plasticity = plasticity or self.published
        n = self.n_x + self.n_free
        mask = connection_mask(self.n_x, hidden, n_out, layered)
        bias_mask = torch.ones(n, dtype=dtype)
        if not layered:  # as published; the biases of inputs do nothing in either case
            bias_mask[: self.n_x] = 0.0
        self.register_buffer("mask", mask.to(dtype), persistent=False)
        self.register_buffer("bias_mask", bias_mask, persistent=False)
        self.register_buffer("diverged", torch.zeros(n_nets, dtype=torch.bool))
        weights = std * draw(seed, n_nets, 0, WEIGHTS, (n, n), normal=True) * mask
        self.weights.append(nn.Parameter(weights.to(dtype)))
        self.biases.append(nn.Parameter(self.first_biases().to(dtype)))
        self.synapse_names = ["W"]
        self.layer_names = [f"s{i}" for i in range(len(self.sizes))]
        self.reach = list(range(len(self.sizes))) if layered else [0] * len(self.sizes)

    @property
    def multiplications(self) -> int:
        """Of the connections that there may be; a step also multiplies the zeros between them."""
        return self.n_nets * int(self.mask.sum())

    @torch.no_grad()
    def options(self) -> dict[str, Any]:
        own = {"N_H": self.sizes[:-1] or [0], "num_net": self.n_nets, "dt": self.dt}
        return own | {"stop": self.stop, "init_state": self.highest_start}

    @property
    def n_parameters(self) -> int:
        """Of one of the networks."""
        has_biases = self.biases[0].numel() > 0
        return int(self.mask.sum()) + int(self.bias_mask.sum()) * has_biases

    def first(self) -> DirectedNetwork:
        """A batch of one: a copy of network 0."""
        alone = copy.deepcopy(self)
        for parameter in alone.parameters():
            parameter.data = parameter.data[:1].clone()
        alone.diverged, alone.n_nets = self.diverged[:1].clone(), 1
        return alone

    @property
    def W(self) -> torch.Tensor:
        """Weights, (n_nets, N, N)."""
        return self.weights[0]

    def first_biases(self) -> torch.Tensor:
        """Initial explicit biases; (n_nets, 0) for a system without them."""
        return torch.zeros(self.n_nets, 0, dtype=torch.float64)

    def leak(self, weights: torch.Tensor) -> torch.Tensor:
        """Factor of -S_j in F_j, (n_nets, n_free)."""
        raise NotImplementedError

    def pupil(self, rate):
        rule = self.plasticity
        alone = super().pupil(rate)
        alone.plasticity = Plasticity(dt_W=rate, beta_0=rule.beta_0, beta_1=rule.beta_1)
        return alone

    def floor(self, s, target):
        return "the weights of the two directions differ"

    # Layers and the one tensor ---------------------------------------------------------------

    def pack(self, s: Tensors) -> torch.Tensor:
        """Join layers, output first, into one tensor (n_nets, batch, n_free)."""
        return torch.cat([v.view(self.n_nets, -1, v.shape[-1]) for v in reversed(s)], -1)

    def layers(self, state: torch.Tensor) -> Tensors:
        """Take a tensor (n_nets, batch, n_free) apart into layers, output first."""
        state = state[0] if self.n_nets == 1 else state
        return list(reversed(state.split(self.sizes, -1)))

    # One step, as the base class puts it together ----------------------------------------------

    def input_states(self, data: torch.Tensor) -> torch.Tensor:
        """States of the input neurons, (batch, n_x)."""
        return data.flatten(1)

    def constants(self, data: torch.Tensor) -> Tensors:
        x, n_x = self.input_states(data), self.n_x
        weights = self.W * self.mask
        coupling = weights[:, n_x:, n_x:] - torch.diag_embed(self.leak(weights))
        inputs = x @ weights[:, :n_x, n_x:]  # (n_nets, batch, n_free)
        if self.biases[0].numel():
            inputs = inputs + self.biases[0][:, None, n_x:]
        return [x, inputs, coupling]

    def wire(self, constants: Tensors) -> DirectedDrive:
        return DirectedDrive(*constants)

    def initHidden(self, drive: DirectedDrive, epoch: int = 1) -> Tensors:
        """Layers uniform between 0 and `highest_start`, drawn anew for each epoch."""
        shape = self.team.whole_shape((len(drive.x), self.n_free))
        start = self.highest_start * draw(self.seed, self.n_nets, epoch, STATES, shape)
        return self.layers(self.team.cut(start, 1).to(drive.inputs))

    def stepper(self, drive, s, target=None, beta=0.0):
        state = self.pack(s)
        offset, matrix = self.force(drive, target, beta)
        return self.layers((state + self.dt * torch.baddbmm(offset, state, matrix)).clamp(0.0, 1.0))

    def velocity(self, drive, before, after, target=None, beta=0.0):
        """F, 0 for a neuron that is held at 0 or 1."""
        offset, matrix = self.force(drive, target, beta)
        rates = self.layers(torch.baddbmm(offset, self.pack(before), matrix))
        return [f * ((v > 0) & (v < 1)) for f, v in zip(rates, after, strict=True)]

    def force(
        self, drive: DirectedDrive, target: torch.Tensor | None = None, beta: Beta = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """F = offset + S @ matrix, with the nudge: (offset, matrix).

        beta: of all networks, or (n_nets, 1, 1) of each.
        """
        if not pulls(beta):
            return drive.inputs, drive.coupling
        offset, matrix = drive.inputs.clone(), drive.coupling.clone()
        offset[..., -self.n_out :] += beta * target
        each = beta.squeeze(-1) if isinstance(beta, torch.Tensor) else beta
        matrix.diagonal(dim1=1, dim2=2)[:, -self.n_out :] -= each
        return offset, matrix

    def rows_of(self, s, rows):
        return [v[..., rows, :] for v in s]

    def cut(self, drive, rows):
        return drive._replace(x=drive.x[rows], inputs=drive.inputs[:, rows])

    def linearised(
        self, drive: DirectedDrive, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """F and its Jacobian at a packed state, and the largest Jacobian that the weights allow.

        (n_nets, batch, n_free), (n_nets, batch, n_free, n_free) and (n_nets, n_free, n_free).
        """
        force = torch.baddbmm(drive.inputs, state, drive.coupling)
        by_sample = drive.coupling[:, None].expand(-1, state.shape[1], -1, -1)
        return force, by_sample, drive.coupling

    # A phase -----------------------------------------------------------------------------------

    def forward(self, drive, s, steps, target=None, beta=0.0, observe=None):
        if observe is not None or torch.is_grad_enabled():
            return super().forward(drive, s, steps, target, beta, observe)
        phase = self.run(drive, self.pack(s), steps, target, beta)
        layers = self.layers(phase.state)
        if phase.trace is None:
            return layers
        return TracedState(layers, trace_of(s, phase.state) + phase.trace)

    @torch.no_grad()
    def run(
        self,
        drive: DirectedDrive,
        state: torch.Tensor,
        steps: int,
        target: torch.Tensor | None = None,
        beta: Beta = 0.0,
        stop: float = 0.0,
    ) -> Phase:
        """Run a phase of all networks, three operations a step.

        The input is constant, so that a step is S <- clamp(offset + S @ matrix) with dt, leak and
        nudge folded in; torch multiplies such small matrices fastest when the second one is stored
        by columns. CHUNK steps are run between two looks at the states. A network leaves the batch
        when it has met `stop`, or when its state repeats itself to the last bit: then the steps
        that remain change nothing. No result depends on the other networks.

        Args:
            state: (n_nets, batch, n_free).
            target: (batch, n_out).
            beta: as for `force`.
        """
        force = self.force(drive, target, beta)
        offset = self.dt * force[0]
        columns = (self.dt * force[1] + torch.eye(self.n_free).to(force[1])).mT.contiguous()
        end, before = state.clone(), state.clone()
        trace = zero_trace(state) if self.traces and pulls(beta) else None
        made = torch.full((len(state),), steps, device=state.device)
        who = torch.arange(len(state), device=state.device)  # networks under way
        buffer = state.new_empty(min(CHUNK, steps) + 1, *state.shape)
        done = 0
        while done < steps and len(who):
            n = min(CHUNK, steps - done)
            done += n
            states = buffer[: n + 1, : len(who)]
            states[0] = state
            views, matrix = states.unbind(), columns.mT
            for now, after in zip(views, views[1:], strict=False):
                self.stopping.grant()
                torch.bmm(now, matrix, out=after).add_(offset)
                if self.noise.shakes:
                    after.add_(self.noise.drawn(after))
                after.clamp_(0.0, 1.0)
            previous, state, within = states[n - 1], states[n], None
            finished = resting = (previous == state).flatten(1).all(1)
            if stop:
                f = force[0][who] + states[:n] @ force[1][who]
                hits = f.square().sum((2, 3)) <= stop  # (n, networks under way)
                stopped = hits.any(0)
                counts = torch.where(stopped, hits.int().argmax(0) + 1, n)  # steps that count
                within = torch.arange(n, device=who.device)[:, None] < counts
                order = torch.arange(len(who), device=who.device)
                previous, state = states[counts - 1, order], states[counts, order]
                made[who[stopped]] = done - n + counts[stopped]
                resting, finished = resting & ~stopped, resting | stopped
            if trace is not None:
                trace.add(self.gather(states, within, resting * (steps - done)), who)
            if done == steps or bool(finished.any()):
                end[who], before[who] = state, previous
                left = ~finished
                who, state, offset, columns = (v[left] for v in (who, state, offset, columns))
        last = (force[0] + before @ force[1]).square().sum((1, 2))
        change = (end - before).square().sum((1, 2)).sqrt()
        return Phase(end, made, last, change, trace)

    def gather(
        self,
        states: torch.Tensor,
        within: torch.Tensor | None = None,
        rest: torch.Tensor | None = None,
    ) -> Trace:
        """What the rule finds in the steps between `states`, (n + 1, n_nets, batch, n_free).

        Args:
            within: (n, n_nets), which steps count for which network; None: all.
            rest: (n_nets,), steps to come in which the state does not change.
        """
        rule, after = self.plasticity, states[1:]
        c = after - states[:-1]
        if rule.beta_1 != 1.0:
            c = rule.beta_1 * c
        if rule.beta_0:
            c = c + rule.beta_0 * after
        if within is not None:
            c = torch.where(within[..., None, None], c, 0.0)
        steps, nets, batch, n = c.shape
        rows, columns = (v.transpose(0, 1).reshape(nets, steps * batch, n) for v in (after, c))
        products, total = rows.mT @ columns, c.sum(0)
        if rule.beta_0 and rest is not None:
            c = rule.beta_0 * (rest[:, None, None] * states[-1])
            products, total = products + states[-1].mT @ c, total + c
        return Trace(products, total)

    # Learning ----------------------------------------------------------------------------------

    def contrast(
        self, drive: DirectedDrive, free: torch.Tensor, nudged: torch.Tensor, trace: Trace | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The local rule summed over samples and steps: of weights (n_nets, N, N) and biases.

        Not masked: pairs of neurons without a connection have a value too.
        """
        raise NotImplementedError

    def full_matrix(self, from_inputs: torch.Tensor, from_free: torch.Tensor) -> torch.Tensor:
        """(n_nets, N, N) from its rows, whose columns are the neurons that move."""
        return nn.functional.pad(torch.cat([from_inputs, from_free], 1), (self.n_x, 0))

    def add_contrast(self, pairs, drive, s_free, s_nudged, scales):
        states = (self.pack(s) for s in (s_free, s_nudged))
        of_weights, of_biases = self.contrast(drive, *states, getattr(s_nudged, "trace", None))
        weights, biases = pairs[0]
        weights.addcmul_(of_weights, self.mask, value=scales[0])
        biases.add_(of_biases, alpha=scales[0])

    def computeGradients(self, drive, s_free, s_nudged, beta, direct=()):
        """The rule's update, 1 / (beta batch) times the sum over samples: an ascent direction.

        For DEEP it is equation (2) cumulated over the steps that led to `s_nudged`; the published
        update is beta / T2 times it.
        """
        pairs = [(torch.zeros_like(w), torch.zeros_like(b)) for w, b in self.synapses]
        self.add_contrast(pairs, drive, s_free, s_nudged, [1.0 / (beta * len(drive.x))])
        return pairs

    def scale(self, T2: int, beta: float, batch: int) -> float:
        """Factor of `contrast` in the published update."""
        raise NotImplementedError

    @torch.no_grad()
    def adapt(
        self,
        dW: torch.Tensor,
        dB: torch.Tensor,
        epoch: int = 1,
        frozen: torch.Tensor | None = None,
        factor: float = 1.0,
    ) -> torch.Tensor:
        """Change the weights by dt_W (dW, dB), with penalty and sparsification if asked for.

        Args:
            dW, dB: (n_nets, N, N) and shaped as the biases.
            factor: of dt_W, just now.
            frozen: (n_nets,), networks left as they are; so is one that would not stay finite,
                which is marked in `diverged`.
        Returns:
            Sum of |change of W|, (n_nets,).
        """
        rule, W, B = self.plasticity, self.W, self.biases[0]
        if rule.sign:
            dW, dB = dW.sign(), dB.sign()
        rate = rule.dt_W * factor
        if self.optimizer is None:
            W_new, B_new = W + rate * dW, B + rate * dB
        else:
            W_new, B_new = W.clone(), B.clone()
            self.optimizer.step([W_new, B_new], [dW, dB], [rate, rate])
        if B.numel():
            B_new *= self.bias_mask
        if rule.regularized:
            W_new -= rule.reg_W * W.sign()
        W_new *= self.mask
        if rule.sparse:
            uniform = draw(self.seed, self.n_nets, epoch, PRUNING, W.shape[1:]).to(W)
            W_new = prune(W_new, uniform, rule.tol_W, rule.temp)
        finite = W_new.isfinite().flatten(1).all(1) & B_new.isfinite().all(1)
        self.diverged |= ~finite if frozen is None else ~finite | frozen
        keep = self.diverged[:, None]
        W_new = torch.where(keep[..., None], W, W_new)
        change = (W_new - W).abs().sum((1, 2))
        W.copy_(W_new)
        B.copy_(torch.where(keep, B, B_new))
        return change

    def sparsity(self) -> torch.Tensor:
        """% of the admissible connections whose weight is 0, (n_nets,)."""
        return 100 * (1 - (self.W != 0).sum((1, 2)) / self.mask.sum())
