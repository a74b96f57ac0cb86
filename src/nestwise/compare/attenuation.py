"""How much nearer to zero a population-averaged coefficient is than a conditional one.

With a random intercept of variance s^2: probit, exactly ``1 / sqrt(1 + s^2)``; logit, about
``1 / sqrt(1 + c^2 s^2)`` with ``c = 16 sqrt(3) / (15 pi)``, ``c^2 = 0.346``, the normal distribution nearest
to the logistic (Zeger, Liang & Albert 1988); identity and logarithm 1, since there only the intercept moves.
No such rule is known for the complementary log-log, which `marginalised` integrates all the same.
"""

from __future__ import annotations

from math import pi, sqrt

LOGISTIC = (16 * sqrt(3) / (15 * pi)) ** 2
"""0.346: the variance of the normal distribution nearest to the logistic is 1 / 0.346."""
NEGLIGIBLE = 1e-8
"""A conditional coefficient of this share of its standard error is zero, and has no ratio."""


def rule_of_thumb(link: str, variance: float) -> float | None:
    """Marginal over conditional coefficient by the closed form; `None` where there is none.

    Parameters
    ----------
    link : str
        Link.
    variance : float
        Variance of the random part of the linear predictor, averaged over rows if it differs.
    """
    if link in ("identity", "log"):
        return 1.0
    if link == "probit":
        return 1 / sqrt(1 + variance)
    return 1 / sqrt(1 + LOGISTIC * variance) if link == "logit" else None


def factor(marginal: float, conditional: float, error: float | None) -> float | None:
    """Ratio of a marginal to a conditional coefficient; `None` where the latter is zero."""
    if abs(conditional) <= NEGLIGIBLE * (error or 1.0):
        return None
    return marginal / conditional
