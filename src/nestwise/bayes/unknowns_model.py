"""The PyMC model of an outcome whose covariates have gaps: one law for the outcome and one a covariate.

In standard units of every variable:

    x_k ~ Normal(c + W gamma, omega)         an incomplete variable of groups, W at the level of groups
    x_k ~ Normal(c + W gamma + tau v, omega) one of rows, v standard normal and one a group
    x_k ~ Bernoulli(logit^-1(...))           a binary one, the last of them
    y   ~ the law of `model` or `generalised_model` at the columns that these values make

W holds the complete covariates and the incomplete ones before it (groups' variables first). What is missing
of a continuous variable is a parameter; a binary one is summed out. Random effects are integrated out of
normal laws, and sampled, standardised, where the outcome is not normal or something is summed out.
Priors of the laws of covariates: coefficients normal(0, 2.5), SDs half-t(3, 2.5), in SDs of the variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.model import Structure, coordinates, parameters
from nestwise.bayes.priors import DEGREES, FACTOR, PriorRow
from nestwise.bayes.units import Units
from nestwise.bayes.unknown_cells import Monomial, Unknown
from nestwise.design.record import Design


@dataclass(frozen=True)
class Known:
    """What the laws of the incomplete covariates are given.

    Attributes
    ----------
    codes : ndarray (N,)
        Group of each row.
    names : tuple of str, length w
        Complete covariates of rows, indicators of levels among them.
    rows : ndarray (N, w)
        These, in standard units.
    group_names : tuple of str, length v
        Those that differ between groups.
    groups : ndarray (J, v)
        Their means by group, in standard units.
    """

    codes: IntArray
    names: tuple[str, ...]
    rows: FloatArray
    group_names: tuple[str, ...]
    groups: FloatArray


@dataclass(frozen=True)
class Joint:
    """Everything the model is built from.

    Attributes
    ----------
    design : Design
        With every unknown at 0.
    typical : Design
        With every gap at the mean of its variable.
    own : ndarray (n,)
        Place of its rows among those of the covariates.
    units, structure, standard_priors
        Of the outcome's law.
    priors : tuple of PriorRow
        Those in the units of the formula.
    unknowns : tuple of Unknown
        In the order in which they are modelled; a binary one is the last.
    monomials : tuple of Monomial
        What they add to the columns of the design.
    known : Known
        Complete covariates.
    """

    design: Design
    typical: Design
    own: IntArray
    units: Units
    structure: Structure
    priors: tuple[PriorRow, ...]
    standard_priors: tuple[PriorRow, ...]
    unknowns: tuple[Unknown, ...]
    monomials: tuple[Monomial, ...]
    known: Known

    @property
    def binary(self) -> int | None:
        """Which unknown is summed out."""
        return next((k for k, each in enumerate(self.unknowns) if each.binary), None)

    @property
    def integrates(self) -> bool:
        """Whether the random effects of the outcome are integrated out."""
        return self.design.family == "gaussian" and self.binary is None


def predictor_names(joint: Joint, k: int) -> tuple[str, ...]:
    """Coefficients of the law of unknown k, in order."""
    each, known = joint.unknowns[k], joint.known
    before = tuple(other.name for other in joint.unknowns[:k])
    return ("(Intercept)", *(known.names if each.level is None else known.group_names), *before)


def build_joint(joint: Joint) -> Any:
    """The PyMC model.

    Parameters
    ----------
    joint : Joint
        See `unknowns_joint.joint_of`.

    Returns
    -------
    pymc.Model
        Free variables `beta*`, `sd*`, `partial`, `sigma*` as in `model`; `unknown|X` the missing values of X;
        `model|X|...` the parameters of its law; `effects|G` random effects where they are sampled.
    """
    import pymc as pm

    with pm.Model(coords=coordinates(joint.structure)) as model:
        beta, sd, partial, dispersion = parameters(joint.structure, joint.standard_priors)
        codes = pm.Data("codes", joint.known.codes)
        columns: list[Any] = []
        chance: Any = None
        for k, each in enumerate(joint.unknowns):
            if each.binary:
                chance = _binary_law(joint, k, columns, codes)
            else:
                columns.append(_normal_law(joint, k, columns, codes))
        fixed, H = _columns(joint, columns, beta, _factor(joint.structure, sd, partial))
        if joint.integrates:
            _integrated_outcome(joint, fixed[0], H[0], dispersion)
        else:
            _sampled_outcome(joint, fixed, H, dispersion, chance)
    return model


def _per_unit(joint: Joint, each: Unknown) -> tuple[FloatArray, IntArray]:
    """Values and places of an unknown by row, or by group if it is a variable of groups."""
    if each.level is None:
        return each.values, each.place
    first = np.unique(joint.known.codes, return_index=True)[1]
    return each.values[first], each.place[first]


def _linear(joint: Joint, k: int, columns: Sequence[Any], codes: Any) -> Any:
    """Linear predictor of unknown k by unit, without an effect of its group."""
    import pymc as pm

    each, known = joint.unknowns[k], joint.known
    W = known.rows if each.level is None else known.groups
    shape = 1 + W.shape[1] + k
    gamma = pm.Normal(f"model|{each.name}|coefficients", 0.0, FACTOR, shape=shape)
    mean = gamma[0] + pm.Data(f"W|{each.name}", W) @ gamma[1 : 1 + W.shape[1]]
    for m, column in enumerate(columns):
        earlier = column[codes] if each.level is None and joint.unknowns[m].level is not None else column
        mean = mean + gamma[1 + W.shape[1] + m] * earlier
    return mean


def _normal_law(joint: Joint, k: int, columns: Sequence[Any], codes: Any) -> Any:
    """Law of a continuous unknown; its completed values by unit."""
    import pymc as pm
    import pytensor.tensor as pt

    from nestwise.bayes.integrated_effects import IntegratedNormal

    each = joint.unknowns[k]
    values, place = _per_unit(joint, each)
    missing = np.flatnonzero(place >= 0)
    t = pm.Flat(f"unknown|{each.name}", shape=each.size)
    at = pm.Data(f"missing|{each.name}", missing)
    known = pm.Data(f"known|{each.name}", np.nan_to_num(values))
    whole = pt.set_subtensor(known[at], t[pm.Data(f"place|{each.name}", place[missing])])
    r = whole - _linear(joint, k, columns, codes)
    omega = pm.HalfStudentT(f"model|{each.name}|residual", nu=DEGREES, sigma=FACTOR)
    if each.level is None:
        tau = pm.HalfStudentT(f"model|{each.name}|between", nu=DEGREES, sigma=FACTOR)
        H = tau * pm.Data(f"ones|{each.name}", np.ones((values.size, 1)))
        sizes = pm.Data(f"sizes|{each.name}", np.bincount(joint.known.codes))
        pm.Potential(f"law|{each.name}", IntegratedNormal()(r, H, omega, codes, sizes)[0])
    else:
        logp = -0.5 * (r**2).sum() / omega**2 - values.size * pt.log(omega)
        pm.Potential(f"law|{each.name}", logp)
    return whole


def _binary_law(joint: Joint, k: int, columns: Sequence[Any], codes: Any) -> Any:
    """Law of the binary unknown on its observed units; the linear predictor (U,) of those that are not."""
    import pymc as pm
    import pytensor.tensor as pt

    each = joint.unknowns[k]
    values, place = _per_unit(joint, each)
    linear = _linear(joint, k, columns, codes)
    if each.level is None:
        tau = pm.HalfStudentT(f"model|{each.name}|between", nu=DEGREES, sigma=FACTOR)
        v = pm.Normal(f"effects|{each.name}", 0.0, 1.0, shape=joint.known.groups.shape[0])
        linear = linear + tau * v[codes]
    seen = np.flatnonzero(place < 0)
    at = linear[pm.Data(f"seen|{each.name}", seen)]
    value = pm.Data(f"known|{each.name}", values[seen])
    pm.Potential(f"law|{each.name}", (value * at - pt.softplus(at)).sum())
    first = np.array([np.flatnonzero(place == u)[0] for u in range(each.size)], dtype=np.int64)
    return linear[pm.Data(f"missing|{each.name}", first)]


def _factor(structure: Structure, sd: Any, partial: Any) -> Any:
    """Cholesky factor (q, q) of the covariance of the random effects, see `model.correlation_factors`."""
    import pytensor.tensor as pt

    q, at = len(structure.starts), 0
    rows = []
    for row, start in enumerate(structure.starts):
        left: Any = 1.0
        entries: list[Any] = [pt.constant(0.0)] * q
        for col in range(start, row):
            entries[col] = sd[row] * partial[at] * left
            left = left * pt.sqrt((1 - partial[at]) * (1 + partial[at]))
            at += 1
        entries[row] = sd[row] * left
        rows.append(pt.stack(entries))
    return pt.stack(rows)


def _columns(joint: Joint, columns: Sequence[Any], beta: Any, Lambda: Any) -> tuple[list[Any], list[Any]]:
    """Fixed part and ``Z Lambda`` at each value of the binary unknown (0, 1), or once where there is none."""
    import pymc as pm
    import pytensor.tensor as pt

    design, units = joint.design, joint.units
    eta = pm.Data("X", np.ascontiguousarray((design.X - units.X_center) / units.X_scale)) @ beta
    Z: Any = pm.Data("Z", np.ascontiguousarray(design.Z / units.Z_scale))
    fixed, varying = [eta], [Z]
    # the terms without the binary unknown come first: both of its values share them
    for binary in (False, True):
        for number, term in enumerate(joint.monomials):
            if (joint.binary in term.factors) is not binary:
                continue
            if binary and len(fixed) == 1:
                fixed, varying = [fixed[0], fixed[0]], [varying[0], varying[0]]
            product = _product(joint, term, number, columns)
            at = pm.Data(f"rows|{number}", term.rows)
            if term.X.any():
                more = product * (pm.Data(f"X|{number}", term.X / units.X_scale) @ beta)
                fixed[-1] = pt.inc_subtensor(fixed[-1][at], more)
            if term.Z.any():
                more = product[:, None] * pm.Data(f"Z|{number}", term.Z / units.Z_scale)
                varying[-1] = pt.inc_subtensor(varying[-1][at], more)
    return fixed, [each @ Lambda for each in varying]


def _product(joint: Joint, term: Monomial, number: int, columns: Sequence[Any]) -> Any:
    """Product (r,) of the unknowns of a monomial; the binary one counts as 1."""
    import pymc as pm
    import pytensor.tensor as pt

    rows = joint.own[term.rows]
    product: Any = pt.ones(rows.size)
    for place, k in enumerate(term.factors):
        if k != joint.binary:
            grouped = joint.unknowns[k].level is not None
            at = joint.known.codes[rows] if grouped else rows
            product = product * columns[k][pm.Data(f"at|{number}|{place}", at)]
    return product


def _integrated_outcome(joint: Joint, fixed: Any, H: Any, sigma: Any) -> None:
    import pymc as pm

    from nestwise.bayes.integrated_effects import IntegratedNormal

    design, units = joint.design, joint.units
    y = pm.Data("outcome", (design.y_less_offset - units.y_center) / units.y_scale)
    term = design.random[0]
    codes = pm.Data("groups", term.codes.astype(np.int64))
    sizes = pm.Data("sizes", np.bincount(term.codes, minlength=term.n_groups))
    pm.Potential("y", IntegratedNormal()(y - fixed, H, sigma, codes, sizes)[0])


def _sampled_outcome(
    joint: Joint, fixed: Sequence[Any], H: Sequence[Any], dispersion: Any, chance: Any
) -> None:
    import pymc as pm
    import pytensor.tensor as pt

    design = joint.design
    term = design.random[0]
    u = pm.Normal(f"effects|{term.group}", 0.0, 1.0, shape=(term.n_groups, len(design.varying)))
    own = u[pm.Data("groups", term.codes.astype(np.int64))]
    data = _outcome_data(joint)
    density = [
        _rows(design.family, data, eta + (Zs * own).sum(axis=1), dispersion)
        for eta, Zs in zip(fixed, H, strict=True)
    ]
    if joint.binary is None or len(density) == 1:
        pm.Potential("y", density[0].sum())
        return
    place = joint.unknowns[joint.binary].place[joint.own]
    open_rows, size = np.flatnonzero(place >= 0), joint.unknowns[joint.binary].size
    certain = pm.Data("certain rows", np.flatnonzero(place < 0))
    rows, unit = pm.Data("open rows", open_rows), pm.Data("open units", place[open_rows])
    zero, one = (pt.inc_subtensor(pt.zeros(size)[unit], each[rows]) for each in density)
    both = pt.logaddexp(zero - pt.softplus(chance), one - pt.softplus(-chance))
    pm.Potential("y", density[0][certain].sum() + both.sum())


def _outcome_data(joint: Joint) -> Mapping[str, Any]:
    import pymc as pm

    design, units = joint.design, joint.units
    offset = np.zeros(design.n) if design.offset is None else design.offset
    if design.family == "gaussian":
        return {"y": pm.Data("outcome", (design.y - offset - units.y_center) / units.y_scale)}
    trials = np.ones(design.n) if design.trials is None else design.trials
    return {
        "y": pm.Data("outcome", design.y),
        "offset": pm.Data("offset", offset + units.y_center),
        "unit": units.y_scale,
        "trials": pm.Data("trials", trials),
    }


def _rows(family: str, data: Mapping[str, Any], eta: Any, dispersion: Any) -> Any:
    """Log density (n,) of the outcome given everything, less its constants."""
    import pytensor.tensor as pt

    y = data["y"]
    if family == "gaussian":
        return -0.5 * ((y - eta) / dispersion) ** 2 - pt.log(dispersion)
    eta = data["offset"] + data["unit"] * eta
    if family == "binomial":
        return y * eta - data["trials"] * pt.softplus(eta)
    return y * eta - pt.exp(eta)
