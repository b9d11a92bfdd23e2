"""Does a network's rule follow the gradient? Each nudge and solver beside the exact gradient.

    found = audit(net, data, target, schedule)
    print(found.text())                                # tables, and a sentence of advice
    found.flaw                                         # what is wrong with the rule itself, or ""

The update is what a batch really does to the weights, per unit of the rate; the gradient is that of
the loss at the equilibrium (networks/implicit.py). Beside the settings of the schedule two ideal
cases tell what is amiss: both phases run to rest with the same beta, and with one so small that
theory promises the gradient, where the network's dynamics are those of its rule.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import torch

from networks.gradients import agreement
from networks.implicit import SWEPT_TO, Reference, equilibrium_gradient
from networks.schedule import Pairs, Schedule, Tensors

RATE = 2.0**20  # of the update that is measured: so large that the weights' own rounding is nothing
SMALL = 1e-4  # beta of the limit
EXACT = 0.9999  # cosine in the limit, at least, where theory promises the gradient
SAME_SIZE = 0.01  # by how much the norms may differ there
GOOD = 0.999  # cosine of an update that no setting need better
FAIR = 0.99  # of one that teaches well
NEAR = 1e-3  # distance of a unit from its rest that no longer matters
HARDLY = 0.1  # share of the gradient's norm below which a nudge has hardly arrived
NEGLIGIBLE = 1e-9  # share of the largest below which a value counts as 0
LINEAR_TO = 1e-11  # tolerance of the linear response in the limit
LEAST = 50  # sweeps or steps of an ideal phase, at least
OTHER_RULES = ("coupled", "contrastive")  # whose output is held instead of nudged
AS_TYPED = ("as set", "other rule")  # settings of a case that are what a user would type
FIELDS = ("cosine", "norm_ratio", "same_sign", "both_zero")


class Case(NamedTuple):
    """How a batch is taught: one row of the tables."""

    nudge: str  # or the rule, where it is another one than EP
    solver: str
    plan: Schedule
    setting: str = "as set"  # or "other rule", "at rest", "limit"

    @property
    def name(self) -> str:
        nudge = f"{self.nudge}, {self.solver}"
        return nudge if self.setting in AS_TYPED else f"{nudge}, {self.setting}"

    @property
    def method(self) -> str:
        """Of the network's rules; empty: its first."""
        return self.nudge if self.setting == "other rule" else ""

    @property
    def options(self) -> str:
        """What a user types for it."""
        beta = self.plan.beta
        nudges = {"both": "--beta-sign both", "linear": "--nudge linear"}
        return f"{nudges.get(self.nudge, f'--beta={beta:g}')} --solver {self.solver}"


class Row(NamedTuple):
    """What a case measured; arrays are (subjects,), the first of all parameters together."""

    case: Case
    cosine: np.ndarray  # of the update and minus the gradient; nan where one is 0
    norm_ratio: np.ndarray  # of the update to the gradient
    same_sign: np.ndarray  # % of the synapses where the product of both is positive
    both_zero: np.ndarray  # % of the synapses
    away: float  # largest distance of a unit from its rest, at the end of the free phase
    flaw: str = ""  # of single weights or biases, in the limit

    @property
    def equal_signs(self) -> np.ndarray:
        """% of equal signs where not both are 0; nan where there is nothing else."""
        some = 100 - self.both_zero
        return np.divide(100 * self.same_sign, some, np.full_like(some, np.nan), where=some > 0)


class Audit(NamedTuple):
    """What `audit` has found."""

    subjects: list[str]  # "all", then the synapse groups
    rows: list[Row]
    references: dict[str, Reference | None]  # by solver
    samples: int
    floor: str  # why theory does not promise the gradient here, if it does not
    beta: float

    @property
    def flaw(self) -> str:
        """What is wrong with the rule itself, as a sentence; empty if nothing is."""
        return next((row.flaw for row in self.rows if row.flaw), "")

    def of(self, *settings: str) -> list[Row]:
        return [row for row in self.rows if row.case.setting in settings]

    def text(self) -> str:
        """Everything for people."""
        lines = [self.sentence_of(solver) for solver in self.references]
        lines.append(
            f"at rest: both phases run to rest with this beta; limit: the same with a beta of "
            f"+-{SMALL:g}; a unit that a bound holds passes no gradient on"
        )
        for title, field, digits, rows in (
            ("cosine", "cosine", 6, self.rows),
            ("norm ratio", "norm_ratio", 4, self.rows),
            ("equal signs, %", "equal_signs", 2, self.of(*AS_TYPED)),
        ):
            lines += ["", self.table(title, field, digits, rows)]
        return "\n".join([*lines, "", self.advice()])

    def sentence_of(self, solver: str) -> str:
        """How good the reference is."""
        found = self.references[solver]
        verb = "relaxing" if solver == "relax" else "stepping"
        if found is None:
            return f"{verb}: no sample comes to rest, so that there is no gradient at equilibrium"
        kept = "" if len(found.rows) == self.samples else f"{len(found.rows)} of "
        return (
            f"{verb}: {kept}{self.samples} samples at rest to {found.gap:.0e} after "
            f"{found.length} {'sweeps' if solver == 'relax' else 'steps'}, adjoint solved "
            f"{found.way} to {found.error:.0e}, {100 * found.held:.0f} % of the units at 0 or 1"
        )

    def table(self, title: str, field: str, digits: int, rows: list[Row]) -> str:
        widths = [max(10, len(name)) for name in self.subjects]
        names = [f"{name:>{w}}" for name, w in zip(self.subjects, widths, strict=True)]
        lines = [f"{title:<26}{'  '.join(names)}  from rest"]
        for row in rows:
            cells = [
                f"{shown(v, digits):>{w}}" for v, w in zip(getattr(row, field), widths, strict=True)
            ]
            lines.append(f"{row.case.name:<26}{'  '.join(cells)}  {row.away:9.1e}")
        return "\n".join(lines)

    # What to do ------------------------------------------------------------------------------

    def advice(self) -> str:
        """One sentence."""
        if self.flaw:
            return self.flaw
        rows = [row for row in self.of("as set") if not math.isnan(row.cosine[0])]
        if not any(self.references.values()):
            return "No equilibrium was found: lower --dt, or make the weights smaller."
        if not rows:
            return "The gradient or every update is 0: all outputs are right, or held at a bound."
        best = self.cheapest(rows)
        plain = next((r for r in rows if r.case.nudge == "fixed +" and is_like(r, best)), best)
        if best.cosine[0] < FAIR:
            return self.cause(best)
        late = self.behind(best)
        if late:
            return late
        if best is not plain and plain.cosine[0] < GOOD and best.cosine[0] > plain.cosine[0]:
            return (
                f"Use {best.case.options}: its cosine is {shown(best.cosine[0], 4)}, that of a "
                f"nudge of {plain.case.plan.beta:g} {shown(plain.cosine[0], 4)}."
            )
        return (
            f"Sound: by {best.case.options} the update has a cosine of {shown(best.cosine[0], 4)} "
            "to the gradient."
        )

    def cheapest(self, rows: list[Row]) -> Row:
        """The best row of the cheapest nudge that is good, or of all if none is."""
        tops = []
        for nudges in (("fixed +", "fixed -"), ("both",), ("linear",)):
            own = [row for row in rows if row.case.nudge in nudges]
            tops += [max(own, key=lambda row: row.cosine[0])] if own else []
        good = [row for row in tops if row.cosine[0] >= GOOD]
        return good[0] if good else max(tops, key=lambda row: row.cosine[0])

    def cause(self, best: Row) -> str:
        """Why even the best update is poor: the first of its conditions that is not met."""
        said = f"the best cosine is {shown(best.cosine[0], 4)} ({best.case.options})"
        like = {
            row.case.setting: row
            for row in self.rows
            if is_like(row, best) and row.case.nudge == "fixed +"
        }
        limit, rested = like.get("limit"), like.get("at rest")
        if limit is not None and not limit.cosine[0] >= FAIR:
            if limit.away > NEAR:
                return f"The phases never come to rest by --solver {best.case.solver}: {said}."
            return (
                f"{self.floor[:1].upper()}{self.floor[1:]}: {said}, {shown(limit.cosine[0], 4)} "
                "with the smallest beta, so that no setting of the phases makes it follow the "
                "gradient."
            )
        if best.away > NEAR and best.case.solver == "step":
            return f"The free phase ends {best.away:.1g} from its rest: raise --T; {said}."
        if best.away > NEAR:
            return f"The free phase ends {best.away:.1g} from its rest: lower --tol; {said}."
        late = self.behind(best)
        if late:
            return late
        if rested is not None and rested.cosine[0] >= FAIR:
            return f"The nudged phase is too short: raise --Kmax; {said}."
        return f"beta {self.beta:g} is too strong: lower --beta; {said}."

    def behind(self, row: Row) -> str:
        """That the nudge has not arrived somewhere, though it would with more time."""
        like = [r for r in self.of("at rest") if is_like(r, row)]
        for k, name in enumerate(self.subjects[1:], 1):
            if row.norm_ratio[k] < HARDLY and like and like[0].norm_ratio[k] > 2 * HARDLY:
                return (
                    f"The nudge has not arrived at {name}, whose update has "
                    f"{100 * row.norm_ratio[k]:.2g} % of the gradient's norm: raise --Kmax."
                )
        return ""

    # For other programs ----------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "advice": self.advice(),
            "flaw": self.flaw,
            "floor": self.floor,
            "beta": self.beta,
            "samples": self.samples,
            "references": {
                solver: None if found is None else facts_of(found)
                for solver, found in self.references.items()
            },
            "rows": [
                {
                    "nudge": row.case.nudge,
                    "solver": row.case.solver,
                    "setting": row.case.setting,
                    "from_rest": plain(row.away),
                    "groups": {
                        name: {
                            field: plain(getattr(row, field)[k])
                            for field in (*FIELDS, "equal_signs")
                        }
                        for k, name in enumerate(self.subjects)
                    },
                }
                for row in self.rows
            ],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """For results.npz: per synapse group the cases as set, and all rows with all subjects."""
        found = {
            field: np.array([getattr(row, field)[1:] for row in self.of("as set")])
            for field in FIELDS
        }
        found |= {
            f"audit_{field}": np.array([getattr(row, field) for row in self.rows])
            for field in (*FIELDS, "away")
        }
        names = {"synapses": self.subjects[1:], "audit_subjects": self.subjects}
        names |= {"audit_rows": [r.case.name for r in self.rows], "audit_advice": self.advice()}
        return found | {name: np.array(value) for name, value in names.items()}

    def measures(self) -> dict[str, float]:
        """Overall cosines and norm ratios of the cases as set, by name."""
        found = {}
        for row in self.of("as set"):
            name = row.case.name.replace(", ", "_").replace(" ", "_")
            found |= {f"cosine_{name}": row.cosine[0], f"norm_ratio_{name}": row.norm_ratio[0]}
        return {name: float(value) for name, value in found.items()}


def shown(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def plain(value: float) -> float | None:
    """For JSON, which has no nan."""
    return float(value) if math.isfinite(value) else None


def facts_of(found: Reference) -> dict[str, Any]:
    return {
        "rested": len(found.rows),
        "gap": found.gap,
        "adjoint_error": found.error,
        "solved": found.way,
        "length": found.length,
        "held": found.held,
    }


def is_like(row: Row, other: Row) -> bool:
    return row.case.solver == other.case.solver


# Measuring --------------------------------------------------------------------------------------


def audit(net, data: torch.Tensor, target: torch.Tensor, schedule: Schedule) -> Audit:
    """Compare the updates of a batch with its gradient; the network is left as it is.

    Args:
        data: (batch, ...), in the type that the network is taught in. target: (batch, n_out).
        schedule: of the cases as set; its T is that of the steps, of both solvers' cases.
    """
    subjects = ["all", *net.synapse_names]
    rows, references, floors = [], {}, []
    for solver in ("step",) if net.restless else ("step", "relax"):
        reference = equilibrium_gradient(net, data, target, solver)
        references[solver] = reference
        if reference is None:
            continue
        batch = data[reference.rows], target[reference.rows]
        floor = net.floor(reference.state, batch[1])
        floors.append(floor)
        for case in cases(net, schedule, solver, reference):
            try:
                rows.append(measured(net, case, batch, reference, floor))
            except ValueError:  # no equilibrium under so strong a nudge, or a rule without this one
                continue
    order = (*AS_TYPED, "at rest", "limit")
    rows.sort(key=lambda row: order.index(row.case.setting))
    floor = next(filter(None, floors), "")
    return Audit(subjects, rows, references, len(data), floor, abs(schedule.beta))


def cases(net, schedule: Schedule, solver: str, reference: Reference) -> list[Case]:
    """The settings of the schedule, and the ideal ones."""
    beta = abs(schedule.beta)
    plan = dataclasses.replace(
        schedule,
        solver=solver,
        random_sign=False,
        both_signs=False,
        nudge="finite",
        persistent=False,
        beta=beta,
    )
    ideal = dataclasses.replace(
        plan,
        T=2 * reference.length,
        Kmax=2 * reference.length,
        tol=SWEPT_TO if solver == "relax" else 0.0,
        max_sweeps=2 * reference.length + LEAST,
        nudged=solver,
        nudged_sweeps=max(reference.length, LEAST),
        dtype=torch.float64,
    )

    def every(plan: Schedule, setting: str, **linear: float) -> list[Case]:
        """One case per nudge."""
        kinds = {
            "fixed +": {},
            "fixed -": {"beta": -plan.beta},
            "both": {"both_signs": True},
            "linear": {"nudge": "linear", **linear},
        }
        return [
            Case(name, solver, dataclasses.replace(plan, **kind), setting)
            for name, kind in kinds.items()
        ]

    small = dataclasses.replace(ideal, beta=SMALL)
    return [
        *every(plan, "as set"),
        *(Case(name, solver, plan, "other rule") for name in OTHER_RULES if name in net.rules),
        Case("fixed +", solver, ideal, "at rest"),
        *every(small, "limit", tol=LINEAR_TO),
    ]


def measured(net, case: Case, batch: tuple, reference: Reference, floor: str) -> Row:
    """Teach a copy of the network by the case and compare what has changed with the gradient."""
    updates, state = taught(net, *batch, case.plan, case.method)
    away = distance(state, reference.state)
    groups = list(zip(updates, reference.pairs, strict=True))
    every = [joined(pairs) for pairs in zip(*((u, g) for u, g in groups), strict=True)]
    values = [compared(*every)]
    values += [compared(joined([update]), joined([gradient])) for update, gradient in groups]
    row = Row(case, *np.array(values).T, away)
    if case.setting == "limit" and (not floor or case.nudge == "linear"):
        return row._replace(flaw=flaw_of(net, row, groups))
    return row


def taught(net, data, target, plan: Schedule, method: str = "") -> tuple[Pairs, Tensors]:
    """What a batch adds to the weights per unit of rate, in double precision; the free state.

    method: of the network's rules; left out: the first.
    """
    pupil = net.pupil(RATE).to(plan.dtype)
    pupil.optimizer = None
    rule = pupil.rules[method or next(iter(pupil.rules))]
    plan = dataclasses.replace(plan, lr_tab=[RATE] * pupil.n_rates)
    lesson = rule.learn(pupil, data.to(plan.dtype), target.to(plan.dtype), plan)
    before = [tuple(p.detach().to(plan.dtype) for p in pair) for pair in net.synapses]
    pairs = [
        tuple((a.detach().double() - b.double()) / RATE for a, b in zip(after, old, strict=True))
        for after, old in zip(pupil.synapses, before, strict=True)
    ]
    return pairs, [v.double() for v in lesson.state]


def cosine_of_update(
    net, method: str, data: torch.Tensor, target: torch.Tensor, schedule: Schedule
) -> float:
    """Cosine between what a batch adds to all parameters together and minus the exact gradient.

    The gradient is that of the loss where the samples come to rest by the solver of the schedule;
    nan where none does, or where the weights follow the nudge, so that there is no one update.
    """
    if schedule.nudge == "continual":
        return math.nan
    reference = equilibrium_gradient(net, data, target, schedule.solver)
    if reference is None:
        return math.nan
    rows = reference.rows
    plan = dataclasses.replace(schedule, random_sign=False, persistent=False)
    updates, _ = taught(net, data[rows], target[rows], plan, method)
    return compared(joined(updates), joined(reference.pairs))[0]


def distance(state: Tensors, rest: Tensors) -> float:
    """Largest distance of a unit from where it rests."""
    pairs = zip(state, rest, strict=True)
    return max((a.reshape_as(b) - b).abs().max().item() for a, b in pairs)


def joined(pairs: Pairs) -> torch.Tensor:
    return torch.cat([v.flatten() for pair in pairs for v in pair])


def compared(update: torch.Tensor, gradient: torch.Tensor) -> tuple[float, ...]:
    """The `FIELDS` of a row for one subject."""
    found = agreement(without_noise(update), -without_noise(gradient))
    size, ratio = gradient.norm().item(), math.nan
    if size:
        ratio = update.norm().item() / size
    cosine = found.cosine if ratio > 0 else math.nan  # between nothing and something is no angle
    return cosine, ratio, found.same_sign, found.both_zero


def without_noise(values: torch.Tensor) -> torch.Tensor:
    """0 where a value is next to nothing beside the largest: what rounding leaves of a 0."""
    size = values.abs()
    return torch.where(size > NEGLIGIBLE * size.max(), values, 0.0)


def flaw_of(net, row: Row, groups: list) -> str:
    """What single weights or biases have against them in the limit, as a sentence."""
    beta = "" if row.case.nudge == "linear" else f", beta {SMALL:g}"
    where = f"although both phases have their time ({row.case.nudge}, {row.case.solver}{beta})"
    if row.away > NEAR:
        return f"DEFECT: the free phase ends {row.away:.1g} from its rest, {where}."
    largest = joined([gradient for _, gradient in groups]).norm()
    for name, (update, gradient) in zip(net.synapse_names, groups, strict=True):
        for kind, u, g in zip(("weights", "biases"), update, gradient, strict=True):
            if g.norm() <= NEGLIGIBLE * largest:
                continue
            cosine, ratio, *_ = compared(u.flatten(), g.flatten())
            if ratio == 0:
                what = "is 0"
            elif cosine <= -EXACT:
                what = "has the wrong sign"
            elif not cosine >= EXACT:
                what = f"has a cosine of {cosine:.4f} to the gradient"
            elif not abs(ratio - 1) <= SAME_SIZE:
                what = f"has {ratio:.3g} times the gradient's norm"
            else:
                continue
            return f"DEFECT: the update of the {kind} of {name} {what}, {where}."
    return ""
