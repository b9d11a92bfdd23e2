"""Directed networks of smooth neurons, which the exact gradient teaches more than clipped ones.

    net = SmoothEP(n_in=2, hidden=5, n_out=1, n_nets=100, std=1.0, highest_start=0.0)

A neuron that a bound holds at 0 or 1 passes no gradient on, and one that all samples hold never
learns again, unless a nudge lifts it. A neuron that settles at the logistic function of what it
receives always passes some on.
"""

from __future__ import annotations

import torch
from torch import nn

from networks.directed import AsymmetricEP
from networks.directedNetwork import CHUNK
from networks.directedRules import Phase
from solvers import nudged_output, pulls

STEEPEST = 0.25  # slope of the logistic function, at most


class SmoothEP(AsymmetricEP):
    """F_j = rho(sum_i W_ij S_i + B_j) - S_j + nudge, rho(v) = 1 / (1 + exp(-v)).

    The rule of a nudged phase is that of the vector field, dW_ij = S_i rho'_j (S_j nudged - S_j
    free) / beta, at the free state, where rho'_j = S_j (1 - S_j).

    Source: Scellier et al. 2018, for a field with rho outside of the sum.
    """

    bounded = False

    def received(self, drive, state: torch.Tensor) -> torch.Tensor:
        """sum_i W_ij S_i + B_j, (n_nets, batch, n_free)."""
        return torch.baddbmm(drive.inputs, state, drive.coupling) + state

    def field(self, drive, state: torch.Tensor, target=None, beta=0.0) -> torch.Tensor:
        """F with the nudge, (n_nets, batch, n_free)."""
        F = torch.sigmoid(self.received(drive, state)) - state
        if pulls(beta):
            F[..., -self.n_out :] += beta * (target - state[..., -self.n_out :])
        return F

    def stepper(self, drive, s, target=None, beta=0.0):
        state = self.pack(s)
        return self.layers(state + self.dt * self.field(drive, state, target, beta))

    def velocity(self, drive, before, after, target=None, beta=0.0):
        return self.layers(self.field(drive, self.pack(before), target, beta))

    @torch.no_grad()
    def run(self, drive, state, steps, target=None, beta=0.0, stop=0.0):
        """As of any directed network; nobody leaves the batch before all have stopped."""
        made = torch.zeros(len(state), dtype=torch.int64, device=state.device)
        going = torch.ones_like(made, dtype=torch.bool)
        last, before = torch.zeros_like(state), state
        for t in range(steps):
            F = self.field(drive, state, target, beta)
            moving = going[:, None, None]
            last, before = torch.where(moving, F, last), torch.where(moving, state, before)
            after = state + self.dt * F
            after = self.shaken(after) if self.noise.shakes else after
            state = torch.where(moving, after, state)
            made += going
            if stop:
                going = going & (F.square().sum((1, 2)) > stop)
            if t % CHUNK == CHUNK - 1 and not bool((going & moved(before, state)).any()):
                break
        made = torch.where(going, steps, made)  # one that repeats itself needs no more steps
        change = (state - before).square().sum((1, 2)).sqrt()
        return Phase(state, made, last.square().sum((1, 2)), change, None)

    def contrast(self, drive, free, nudged, trace):
        change = (nudged - free) * free * (1 - free)
        rows = (drive.x.t() @ change, free.mT @ change)
        return self.full_matrix(*rows), nn.functional.pad(change.sum(1), (self.n_x, 0))

    def settled_layer(self, drive, s, seen, i, target, beta):
        """As in the base class; with connections inside the layer, half the way towards it."""
        own = self.places[i]
        force = torch.baddbmm(drive.inputs[..., own], self.pack(s), drive.coupling[..., own])
        goal = torch.sigmoid(force.view_as(s[i]) + s[i])
        goal = nudged_output(goal, target, beta if i == 0 else 0.0, False)
        return torch.lerp(s[i], goal, 0.5) if self.joined_inside[i] else goal

    def linearised(self, drive, state):
        received = self.received(drive, state)
        rho = torch.sigmoid(received)
        one = torch.eye(self.n_free).to(state)
        weights = drive.coupling + one
        by_sample = weights[:, None] * (rho * (1 - rho))[..., None, :] - one
        return rho - state, by_sample, STEEPEST * weights - one


def moved(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Which networks are not as they were, (n_nets,)."""
    return (before != after).flatten(1).any(1)
