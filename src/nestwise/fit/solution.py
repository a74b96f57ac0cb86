"""A linear mixed model solved at its optimum, as plain arrays in the formula's own parametrisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.fit.optimise import triangular
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.crossed_equations import CrossedReduced
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.likelihood.gaussian import Equations, constant, criterion
from nestwise.likelihood.products import Products


@dataclass(frozen=True)
class FactorEffects:
    """Predicted random effects of one grouping factor.

    Attributes
    ----------
    group : str
        Its name.
    columns : tuple of int, length q
        Places of its coefficients among all that vary.
    b : ndarray (J, q)
        Conditional means (BLUPs).
    b_cov : ndarray (J, q, q)
        Conditional covariances given beta (lme4's condVar).
    b_on_beta : ndarray (J, q, p)
        Derivative of b with respect to beta: how the uncertainty of beta carries over to b.
    """

    group: str
    columns: tuple[int, ...]
    b: FloatArray
    b_cov: FloatArray
    b_on_beta: FloatArray


@dataclass(frozen=True)
class LmmSolution:
    """Estimates of a linear mixed model.

    All quantities are on the outcome's scale and for the columns of the formula; the q random effects are
    those of all terms, in the formula's order.

    Attributes
    ----------
    reml : bool
        Which criterion was maximised.
    beta : ndarray (p,)
        Fixed effects.
    cov_beta : ndarray (p, p)
        Their covariance, ``sigma^2 S_XX^-1``.
    theta : ndarray (k,)
        Free elements of Lambda, as lme4 orders them.
    Lambda : ndarray (q, q)
        Relative Cholesky factor.
    sigma : float
        Residual standard deviation.
    Sigma : ndarray (q, q)
        Covariance of the random effects, ``sigma^2 Lambda Lambda'``.
    effects : tuple of FactorEffects
        Predicted random effects, one entry a grouping factor in the order of `Design.factors`.
    known_sigma : bool
        Whether the residual variances were given with the data.
    deviance : float
        Minus twice the log-likelihood (ML), or the REML criterion, with all constants.
    """

    reml: bool
    beta: FloatArray
    cov_beta: FloatArray
    theta: FloatArray
    Lambda: FloatArray
    sigma: float
    Sigma: FloatArray
    effects: tuple[FactorEffects, ...]
    deviance: float
    known_sigma: bool = False

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood, restricted under REML, with all constants."""
        return -self.deviance / 2

    @property
    def n_parameters(self) -> int:
        """Fixed effects, free elements of the relative factor, and sigma."""
        return int(self.beta.size + self.theta.size + (0 if self.known_sigma else 1))

    @property
    def sd(self) -> FloatArray:
        """Standard deviations of the random effects (q,)."""
        return np.sqrt(np.diag(self.Sigma))


def solve(products: Products, theta: FloatArray, *, reml: bool) -> LmmSolution:
    """Estimates and predictions of random effects at theta (k,), working parametrisation.

    Parameters
    ----------
    products : CrossProducts or CrossedProducts
        Uncompressed: one entry a group.
    theta : ndarray (k,)
        Where `optimise` ended.
    reml : bool
        Criterion.
    """
    pattern = products.pattern
    at = criterion(products, pattern.matrix(theta), reml=reml)
    reduced, sigma = at.reduced, at.sigma * products.scale
    root = products.T_Z @ reduced.Lambda  # (q, q): a factor of the relative covariance, not yet triangular
    allowed = pattern.matrix(np.ones(pattern.k))
    Lambda = np.where(allowed > 0, triangular(root), 0.0)
    return LmmSolution(
        reml=reml,
        beta=products.beta_0 + products.scale * products.T_X @ reduced.beta,
        cov_beta=sigma**2 * products.T_X @ reduced.XX_inverse @ products.T_X.T,
        theta=pattern.elements(Lambda),
        Lambda=Lambda,
        sigma=sigma,
        Sigma=sigma**2 * Lambda @ Lambda.T,
        effects=_effects(products, reduced, root, sigma),
        deviance=at.value + constant(products, reml=reml),
        known_sigma=products.sigma is not None,
    )


def _effects(
    products: Products, reduced: Equations, root: FloatArray, sigma: float
) -> tuple[FactorEffects, ...]:
    """Predicted random effects of every factor; `root` (q, q) leads from the working u to b / scale."""
    v, p = np.append(-reduced.beta, 1.0), products.p
    T_back = np.linalg.inv(products.T_X)

    def of(group: str, columns: tuple[int, ...], K: FloatArray, inverses: FloatArray) -> FactorEffects:
        part = root[np.ix_(columns, columns)]
        return FactorEffects(
            group=group,
            columns=columns,
            b=products.scale * (K @ v) @ part.T,
            b_cov=sigma**2 * part @ inverses @ part.T,
            b_on_beta=-part @ K[:, :, :p] @ T_back,
        )

    if isinstance(reduced, CrossedReduced):
        assert isinstance(products, CrossedProducts)
        return tuple(
            of(group, columns, reduced.group_effects(f), reduced.group_inverses(f))
            for f, (group, columns, _) in enumerate(products.factors)
        )
    assert isinstance(products, CrossProducts)
    return (of(products.group, tuple(range(products.q)), reduced.K, reduced.M_inverse),)
