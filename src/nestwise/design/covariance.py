"""The covariance of the residuals as arrays: which rows go together, and when they were seen."""

from __future__ import annotations

from dataclasses import dataclass

from nestwise.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class VarianceFunction:
    """How the residual variance follows a covariate or differs between strata.

    Attributes
    ----------
    kind : str
        `power` (sd = sigma |x|^d), `exponential` (sd = sigma exp(d x)) or `strata` (one sd a stratum).
    name : str
        Column.
    values : ndarray (n,)
        The covariate, or codes of the strata as whole numbers.
    labels : tuple of str
        Names of the strata; empty for a covariate.
    """

    kind: str
    name: str
    values: FloatArray
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResidualDesign:
    """The covariance of the residuals inside a subject, as arrays.

    Attributes
    ----------
    structure : str
        `independent`, `unstructured`, `compound_symmetry`, `ar1`, `toeplitz` or `antedependence`.
    heterogeneous : bool
        Whether each visit has a variance of its own (always, for `unstructured`).
    subject : str
        Name of the factor inside which residuals are correlated: the lowest group.
    subjects : ndarray (n,)
        Subject of each row, 0 .. S-1.
    time : str
        Column of the visits; empty for `independent`.
    visits : ndarray (n,)
        Visit of each row, 0 .. T-1, in order of time.
    visit_labels : tuple of str, length T
    times : ndarray (T,)
        Numeric time of each visit; 0, 1, 2, ... if the column holds names.
    by : str
        Column of strata (arms) with a covariance each; empty for one covariance.
    strata : ndarray (n,)
        Stratum of each row; zeros without `by`. Constant within subjects.
    stratum_labels : tuple of str
    variance : VarianceFunction or None
        Instead of `heterogeneous`.
    subject_labels : tuple of str, length S
        Names of the subjects, where they are known.
    """

    structure: str
    heterogeneous: bool
    subject: str
    subjects: IntArray
    time: str
    visits: IntArray
    visit_labels: tuple[str, ...]
    times: FloatArray
    by: str
    strata: IntArray
    stratum_labels: tuple[str, ...]
    variance: VarianceFunction | None = None
    subject_labels: tuple[str, ...] = ()
