"""Upper tails of chi-bar-squared distributions: likelihood-ratio statistics with a variance on its boundary.

Sources: Self & Liang (1987), Journal of the American Statistical Association 82; Stram & Lee (1994),
Biometrics 50.
"""

from __future__ import annotations


def mixture_p_value(statistic: float, covariances: int) -> float:
    """Upper tail of ``0.5 chi2(c) + 0.5 chi2(c + 1)``, chi2(0) being zero always; 1 at a statistic of 0."""
    from scipy.special import chdtrc

    if statistic <= 0:
        return 1.0
    lower = 0.0 if covariances == 0 else chdtrc(covariances, statistic)
    return float(lower + chdtrc(covariances + 1, statistic)) / 2
