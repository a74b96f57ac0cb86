"""Population-averaged coefficients of a conditional model, with their delta-method covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.compare.effects import Effects
from nestwise.compare.marginalised import averaged, described, projected
from nestwise.compare.standardised import linear_part
from nestwise.design.record import Design


@dataclass(frozen=True)
class Integrated:
    """The conditional answer on the marginal scale.

    Attributes
    ----------
    names : tuple of str, length p
        Coefficients.
    beta : ndarray (p,)
        Those that describe the integrated means best, by least squares on the link's scale.
    covariance : ndarray (p, p)
        By the delta method.
    by_parameters : ndarray (p, k)
        Derivatives by the parameters of the conditional effects.
    projected : ndarray (p,)
        What estimating equations with independence would find in endless data of the conditional model.
    variance : float
        Variance of the random part of the linear predictor, averaged over rows.
    """

    names: tuple[str, ...]
    beta: FloatArray
    covariance: FloatArray
    by_parameters: FloatArray
    projected: FloatArray
    variance: float

    @property
    def std_error(self) -> FloatArray:
        """Standard errors (p,)."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))


def integrated(design: Design, effects: Effects) -> Integrated:
    """Integrate a conditional model over its random effects.

    Parameters
    ----------
    design : Design
        Its rows.
    effects : Effects
        The conditional answer.
    """
    X, eta = linear_part(design, effects)
    eta = eta if design.offset is None else eta + design.offset
    Z = design.Z if effects.Sigma.size else np.empty((design.n, 0))
    variance = effects.variance(Z)
    at = averaged(design.link, eta, variance)
    found = described(design.link, X, at.mu, design.offset)
    trials = np.ones(design.n) if design.trials is None else design.trials
    inner = np.column_stack([X * at.by_eta[:, None], effects.by_elements(Z) * at.by_variance[:, None]])
    by_parameters = found.by_mu @ inner
    return Integrated(
        names=effects.names,
        beta=found.beta,
        covariance=by_parameters @ effects.covariance @ by_parameters.T,
        by_parameters=by_parameters,
        projected=projected((design.family, design.link), X, at.mu, design.offset, trials).beta,
        variance=float(variance.mean()),
    )
