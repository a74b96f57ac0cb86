"""statsmodels' MixedLM on the same design: an engine of its own, and the referee of `lmm`.

It starts at the optimum of `lmm` (from its own start it stops short of it on hard problems), so that what it
adds is independent: its own likelihood, its own optimiser's consent, its own standard errors.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.design.record import Design
from nestwise.fit.components import Layout, layout
from nestwise.fit.inference import information, t_rows
from nestwise.fit.optimise import lower_factor, triangular
from nestwise.fit.quantities import covariance_rows, derived_rows, group_table, notes_on_derived, predict_rows
from nestwise.fit.r2 import r2_rows
from nestwise.fit.refusals import lmm_problems, refuse
from nestwise.fit.solution import LmmSolution, solve
from nestwise.fit.state import LmmState, solve_lmm
from nestwise.results import Check, Fit, Status

LOG_LIKELIHOOD_LIMIT = 1e-6
STD_ERROR_LIMIT = 1e-3
OFF_BOUNDARY = 1e-9
"""Share of sigma^2 added to the variances of a singular fit: MixedLM cannot evaluate the boundary itself."""
BOUNDARY_MESSAGE = "The MLE may be on the boundary"


@dataclass(frozen=True)
class _Peer:
    """What statsmodels found; covariances on the outcome's scale.

    `std_error` is the generalised least-squares one, from the fixed-effects block of its Hessian, as lme4
    and `lmm` define it; `joint_std_error` is its own `bse_fe`, from the joint observed information with the
    covariances.
    """

    beta: FloatArray
    std_error: FloatArray
    joint_std_error: FloatArray | None
    Sigma: FloatArray
    sigma: float
    b: tuple[FloatArray, ...] | None
    log_likelihood: float
    at_our_optimum: float
    converged: bool
    messages: tuple[str, ...]


def fit_mixedlm(design: Design, level: float = 0.95) -> Fit:
    """Fit a linear mixed model with statsmodels, started at the optimum of `lmm`, and referee that optimum.

    Parameters
    ----------
    design : Design
        Gaussian; grouping factors nested in the first of them, or crossed ones with at most 2,000 rows.
    level : float
        Coverage of the normal intervals of the fixed effects (statsmodels has z tests only: `df` is null).

    Returns
    -------
    Fit
        With the checks `referee_log_likelihood` and `referee_std_error` and ``record["referee"]``.

    Raises
    ------
    Refusal
        See `fit.refusals` and `fit.components`.
    """
    began = perf_counter()
    refuse(lmm_problems(design, engine="mixedlm"))
    form = layout(design)
    state = solve_lmm(design, engine="mixedlm")
    peer, solution = _usable(state, _run(design, state, form))
    status, reason = _status(state, peer)
    checks, referee = _referee(design, state, peer)
    return Fit(
        **design.identity,
        engine="mixedlm",
        method="REML" if design.reml else "ML",
        status=status,
        reason=reason,
        converged=peer.converged,
        singular=state.optimum.singular,
        **information(peer.log_likelihood, solution.n_parameters, design.n),
        warnings=_warnings(state, peer, reason),
        estimates=(
            *t_rows(design.names, peer.beta, peer.std_error, None, level),
            *covariance_rows(design, solution, {}, level),
            *derived_rows(design, solution, {}, level),
            *r2_rows(design, solution),
        ),
        checks=checks,
        groups=group_table(design, state, solution, level),
        predictions=predict_rows(design, solution),
        record={
            "referee": referee,
            "messages": list(peer.messages),
            "started_from": "optimum of lmm",
            "notes": notes_on_derived(design) if len(design.factors) == 1 else [],
        },
        seconds=perf_counter() - began,
    )


def _run(design: Design, state: LmmState, form: Layout) -> _Peer:
    """MixedLM from our optimum; its warnings are caught and kept."""
    ours = state.solution
    relative = ours.Sigma / ours.sigma**2
    if state.optimum.singular:
        relative = relative + OFF_BOUNDARY * np.diag(1 / (design.Z**2).mean(axis=0))
    start = form.parameters(ours.beta, relative)
    block = _block(design)
    full = bool(block[np.ix_(form.columns, form.columns)].all())
    free = None if full else form.parameters(np.ones(ours.beta.size), block)
    model = form.model(design)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = model.fit(start_params=start, reml=design.reml, method=["bfgs", "lbfgs"], free=free)
            peer = _read(model, result, start, design, form)
        except (np.linalg.LinAlgError, ValueError, FloatingPointError) as error:
            peer = _evaluate(model, start, free, reml=design.reml, form=form, message=str(error))
    messages = (*peer.messages, *dict.fromkeys(str(warning.message) for warning in caught))
    return replace(peer, messages=messages)


def _block(design: Design) -> FloatArray:
    """Which covariances (q, q) of the varying coefficients are free: 1, else 0."""
    block = np.eye(len(design.varying))
    start = 0
    for term in design.random:
        stop = start + len(term.names)
        if term.correlated:
            block[start:stop, start:stop] = 1
        start = stop
    return block


def _read(model: Any, result: Any, start: Any, design: Design, form: Layout) -> _Peer:
    """A finished MixedLM result on the outcome's scale."""
    p = model.k_fe
    hessian = model.hessian(result.params_object)[0]
    return _Peer(
        beta=np.asarray(result.fe_params, dtype=float),
        std_error=np.sqrt(np.diag(np.linalg.inv(-hessian[:p, :p]))),
        joint_std_error=_finite(np.asarray(result.bse_fe, dtype=float)),
        Sigma=form.covariance(np.asarray(result.cov_re, dtype=float), np.asarray(result.vcomp, dtype=float)),
        sigma=float(np.sqrt(result.scale)),
        b=form.effects(design, result.random_effects),
        log_likelihood=float(result.llf),
        at_our_optimum=float(model.loglike(start, profile_fe=False)),
        converged=bool(result.converged) and bool(np.isfinite(result.llf)),
        messages=(),
    )


def _evaluate(model: Any, start: Any, free: Any, *, reml: bool, form: Layout, message: str) -> _Peer:
    """MixedLM's likelihood and standard errors at our optimum, where its own search breaks down."""
    model.reml, model.cov_pen, model.fe_pen, model._cov_sing, model._freepat = reml, None, None, 0, free
    p = model.k_fe
    scale = float(model.get_scale(start.fe_params, start.cov_re, start.vcomp))
    value = float(model.loglike(start, profile_fe=False))
    hessian = model.hessian(start)[0]
    return _Peer(
        beta=np.asarray(start.fe_params, dtype=float),
        std_error=np.sqrt(np.diag(np.linalg.inv(-hessian[:p, :p]))),
        joint_std_error=None,
        Sigma=scale * form.covariance(start.cov_re, start.vcomp),
        sigma=float(np.sqrt(scale)),
        b=None,
        log_likelihood=value,
        at_our_optimum=value,
        converged=False,
        messages=(f"its search broke down: {message}",),
    )


def _finite(values: FloatArray) -> FloatArray | None:
    return values if bool(np.isfinite(values).all()) else None


def _usable(state: LmmState, peer: _Peer) -> tuple[_Peer, LmmSolution]:
    """Its estimates as a solution; those of `lmm`, and a message, where its covariance is void."""
    try:
        return peer, _as_solution(state, peer)
    except np.linalg.LinAlgError:
        message = (
            "its covariance estimate cannot be evaluated: random effects and covariances shown are lmm's"
        )
        return replace(peer, converged=False, messages=(*peer.messages, message)), state.solution


def _as_solution(state: LmmState, peer: _Peer) -> LmmSolution:
    """Its estimates as a solution: random effects as it predicts them, their covariances at its estimates."""
    products = state.products
    relative = np.linalg.solve(products.T_Z, lower_factor(peer.Sigma / peer.sigma**2))
    theta = products.pattern.elements(triangular(relative))
    at = solve(products, theta, reml=state.solution.reml)
    changed: dict[str, Any] = {"beta": peer.beta, "Sigma": peer.Sigma, "sigma": peer.sigma}
    if peer.b is not None:
        changed["effects"] = tuple(replace(own, b=b) for own, b in zip(at.effects, peer.b, strict=True))
    return replace(at, **changed)


def _status(state: LmmState, peer: _Peer) -> tuple[Status, str | None]:
    if not peer.converged and not state.optimum.singular:
        return Status.NOT_CONVERGED, (
            "Statsmodels did not converge even from the optimum of `lmm`, and its estimates are where it "
            "stopped: use those of lmm, which satisfy the criteria of convergence."
            if state.optimum.converged
            else "Neither statsmodels nor `lmm` converged; let fewer coefficients vary."
        )
    if state.optimum.singular:
        way_out = (
            "drop the correlation (||), then a varying slope, or use the engine pymc"
            if len(state.solution.sd) > 1
            else "leave the random effect out, or use the engine pymc for the plausible range of its SD"
        )
        return Status.SINGULAR, (
            "The covariance of the random effects has lost rank, where statsmodels cannot evaluate its "
            f"likelihood: it was evaluated next to that point; {way_out}."
        )
    return Status.OK, None


def _warnings(state: LmmState, peer: _Peer, reason: str | None) -> tuple[str, ...]:
    """The reason and statsmodels' messages; its boundary alarm, which depends on units, only if singular."""
    relevant = (
        message
        for message in peer.messages
        if state.optimum.singular or not message.startswith(BOUNDARY_MESSAGE)
    )
    return (
        *([reason] if reason else []),
        *(f"Statsmodels says: {message.strip().rstrip('.')}." for message in relevant),
    )


def _referee(design: Design, state: LmmState, peer: _Peer) -> tuple[tuple[Check, ...], dict[str, Any]]:
    """Checks of `lmm` by statsmodels, and the numbers of both."""
    ours = state.solution
    theirs = peer.log_likelihood if peer.converged else peer.at_our_optimum
    gap = abs(theirs - ours.log_likelihood) / max(1.0, abs(ours.log_likelihood))
    our_se = np.sqrt(np.diag(ours.cov_beta))
    se_gaps = np.abs(peer.std_error / our_se - 1)
    where = "at its own optimum" if peer.converged else "at the optimum of lmm (its search did not converge)"
    finite = bool(np.isfinite(gap))
    close, same = finite and bool(gap <= LOG_LIKELIHOOD_LIMIT), bool(se_gaps.max() <= STD_ERROR_LIMIT)
    verdict = "the two agree" if close else "they differ, and neither is to be trusted before it is known why"
    se_verdict = "the two agree" if same else "compare both before using either"
    worst = design.names[int(se_gaps.argmax())]
    checks = (
        Check(
            "referee_log_likelihood",
            float(gap) if finite else None,
            LOG_LIKELIHOOD_LIMIT,
            close,
            f"Log-likelihood {theirs:.6f} by statsmodels {where}, "
            f"{ours.log_likelihood:.6f} by lmm: {verdict}.",
        ),
        Check(
            "referee_std_error",
            float(se_gaps.max()),
            STD_ERROR_LIMIT,
            same,
            f"Of the standard errors of statsmodels and lmm, those of {worst} differ most: {se_verdict}.",
        ),
    )
    joint = peer.joint_std_error
    record = {
        "log_likelihood": {"lmm": ours.log_likelihood, "statsmodels": theirs, "evaluated": where},
        "log_likelihood_at_lmm_optimum": peer.at_our_optimum if np.isfinite(peer.at_our_optimum) else None,
        "std_error": {
            name: {
                "lmm": float(our_se[i]),
                "statsmodels": float(peer.std_error[i]),
                "difference": float(se_gaps[i]),
            }
            for i, name in enumerate(design.names)
        },
        "bse_fe": None if joint is None else dict(zip(design.names, joint.tolist(), strict=True)),
        "bse_fe_note": (
            "statsmodels prints bse_fe, from the observed information of fixed effects and covariances "
            "jointly; the standard errors compared here are those of generalised least squares at its "
            "estimates, as lme4 has them"
        ),
    }
    return checks, record
