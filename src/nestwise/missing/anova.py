"""The classical analysis of variance of repeated measures, a comparator: completers only.

It takes those who were seen at every visit, asks for equal variances and correlations of all visits
(sphericity), and has no place for anybody else. Without arms the F test is statsmodels' `AnovaRM`; it takes
no factor between subjects, so that with arms the split-plot sums of squares are written out:

    SS(arm)         = T sum_a n_a (ybar_a.. - ybar...)^2          against subjects within arms
    SS(visit)       = N sum_t (ybar_..t - ybar...)^2              against visits by subjects within arms
    SS(arm x visit) = sum_a n_a sum_t (ybar_a.t - ybar_a.. - ybar_..t + ybar...)^2

With arms of unequal size these are sequential sums, the arm first, as R's `aov` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.errors import Problem, Refusal
from nestwise.missing.plan import Arms
from nestwise.missing.sphericity import Sphericity, contrasts, sphericity
from nestwise.missing_vocabulary import REPEATED_ANOVA
from nestwise.names import counted, plural
from nestwise.results import conform

WHERE = "the repeated-measures ANOVA"


@dataclass(frozen=True)
class RepeatedAnova:
    """The analysis.

    Attributes
    ----------
    table : DataFrame
        In the schema REPEATED_ANOVA; terms `arm` (its column), the visit, and both.
    sphericity : Sphericity
    n, left_out : int
        Completers, and subjects that are not used.
    reason : str
        Why the answer is usually wrong, a sentence.
    """

    table: pl.DataFrame
    sphericity: Sphericity
    n: int
    left_out: int
    reason: str


def repeated_anova(
    y: FloatArray,
    names: tuple[str, str, str],
    arms: Arms | None = None,
    study: str = "",
) -> RepeatedAnova:
    """Analyse the completers.

    Parameters
    ----------
    y : ndarray (N, T)
        Outcome by subject and visit, NaN where missing.
    names : tuple of str
        Of the outcome, the visit and a subject.
    arms : Arms or None
    study : str

    Returns
    -------
    RepeatedAnova

    Raises
    ------
    Refusal
        With one visit, without two completers in each arm, or where nothing varies.
    """
    outcome, visit, subject = names
    whole = np.isfinite(y).all(axis=1)
    Y = y[whole]
    codes, G = (
        (np.zeros(Y.shape[0], dtype=np.int64), 1) if arms is None else (arms.codes[whole], len(arms.labels))
    )
    arm = "" if arms is None else arms.column
    _refuse_unusable(Y, codes, G, subject)
    N, T = Y.shape
    C = contrasts(T)
    means = np.array([Y[codes == a].mean(axis=0) for a in range(G)])
    residual = (Y - means[codes]) @ C
    S = residual.T @ residual
    if float(np.trace(S)) <= 1e-20 * float((Y**2).sum()):
        raise Refusal(Problem("nothing varies inside subjects", WHERE, "check the outcome"))
    judged = sphericity(S, N - G)
    base = {"study": study, "outcome": outcome}
    rows = []
    if G > 1:
        rows += [base | row for row in _arm_row(Y, codes, means, arm)]
    rows += [base | row for row in _within_rows(Y, codes, means, float(np.trace(S)), names=(visit, arm))]
    if G == 1:
        rows[0] |= _by_statsmodels(Y)
    table = pl.DataFrame(
        [each for row in rows for each in _corrected(row, judged)], schema=dict(REPEATED_ANOVA)
    )
    left_out = int((~whole).sum())
    reason = (
        f"Usually wrong: {counted(left_out, subject)} of {y.shape[0]:,} without every visit are left out, as "
        "if leaving had nothing to do with the outcome, and all visits are taken to be equally variable and "
        "equally correlated."
    )
    return RepeatedAnova(conform(table, REPEATED_ANOVA), judged, N, left_out, reason)


def _refuse_unusable(Y: FloatArray, codes: IntArray, G: int, subject: str) -> None:
    N, T = Y.shape
    if T < 2:
        raise Refusal(Problem("there is one visit, and nothing is repeated", WHERE, "compare the arms"))
    if N - G < 1 or np.bincount(codes, minlength=G).min() < 2:
        what = f"{counted(N, subject)} with every visit, and each arm needs two {plural(subject)}"
        raise Refusal(Problem(what, WHERE, "use a mixed model: it takes everybody who was seen at all"))


def _arm_row(Y: FloatArray, codes: IntArray, means: FloatArray, arm: str) -> list[dict[str, Any]]:
    N, T = Y.shape
    own, sizes, grand = Y.mean(axis=1), np.bincount(codes), Y.mean()
    of_arms = means.mean(axis=1)
    between = T * float((sizes * (of_arms - grand) ** 2).sum())
    error = T * float(((own - of_arms[codes]) ** 2).sum())
    return [_effect(arm, "subjects", (between, error), (len(sizes) - 1, N - len(sizes)))]


def _within_rows(
    Y: FloatArray, codes: IntArray, means: FloatArray, error: float, *, names: tuple[str, str]
) -> list[dict[str, Any]]:
    visit, arm = names
    (N, T), G, sizes = Y.shape, len(means), np.bincount(codes)
    by_visit, grand = Y.mean(axis=0), Y.mean()
    df = (N - G) * (T - 1)
    rows = [_effect(visit, "visits", (N * float(((by_visit - grand) ** 2).sum()), error), (T - 1, df))]
    if G > 1:
        both = means - means.mean(axis=1, keepdims=True) - by_visit + grand
        squares = float((sizes[:, None] * both**2).sum())
        rows.append(_effect(f"{arm}:{visit}", "visits", (squares, error), ((G - 1) * (T - 1), df)))
    return rows


def _effect(term: str, error: str, squares: tuple[float, float], df: tuple[float, float]) -> dict[str, Any]:
    (ss, ss_error), (df_num, df_den) = squares, df
    found = {"term": term, "error": error, "sum_of_squares": ss, "error_sum_of_squares": ss_error}
    statistic = (ss / df_num) / (ss_error / df_den) if ss_error > 0 else None
    return found | {"df_num": float(df_num), "df_den": float(df_den), "statistic": statistic}


def _by_statsmodels(Y: FloatArray) -> dict[str, float]:
    """F and degrees of freedom of the visits by `AnovaRM`."""
    import pandas as pd
    from statsmodels.stats.anova import AnovaRM

    N, T = Y.shape
    who, when = np.divmod(np.arange(N * T), T)
    frame = pd.DataFrame({"y": Y.ravel(), "who": who, "visit": when})
    row = AnovaRM(frame, "y", "who", within=["visit"]).fit().anova_table.iloc[0]
    return {
        "statistic": float(row["F Value"]),
        "df_num": float(row["Num DF"]),
        "df_den": float(row["Den DF"]),
    }


def _corrected(row: dict[str, Any], judged: Sphericity) -> list[dict[str, Any]]:
    """The test as it is, and with the two corrections where it rests on sphericity."""
    from scipy.special import fdtrc

    factors = {"none": 1.0}
    if row["error"] == "visits":
        factors |= {
            "Greenhouse-Geisser": judged.greenhouse_geisser,
            "Huynh-Feldt": judged.huynh_feldt,
        }
    rows = []
    for name, epsilon in factors.items():
        df = {key: row[key] * epsilon for key in ("df_num", "df_den")}
        p = None if row["statistic"] is None else float(fdtrc(df["df_num"], df["df_den"], row["statistic"]))
        extra = {"correction": name, "p_value": p, "epsilon": None if name == "none" else epsilon}
        rows.append(row | df | extra)
    return rows
