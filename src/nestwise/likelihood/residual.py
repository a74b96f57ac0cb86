"""The covariance of the residuals inside subjects: a scale for each row times a correlation.

``R = diag(s) C diag(s)``, ``log s = offset + D delta``: linear in parameters, so that a standard deviation a
visit, a stratum or an arm, the power ``|x|^d``, the exponential ``exp(d x)`` and prior weights are one thing.
C is a correlation structure whose parameters may be any real numbers. Both may differ between strata (arms).
All parameters together are ``phi = (delta, theta)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.covariance import ResidualDesign
from nestwise.likelihood.correlation import antedependence, toeplitz, unstructured
from nestwise.likelihood.frames import Frames
from nestwise.likelihood.whitening import Exchangeable, Markov, Uncorrelated, Whitening, dense

MATRIX_STRUCTURES = ("unstructured", "toeplitz", "antedependence")
"""Structures with parameters for every visit."""


@dataclass(frozen=True)
class ResidualModel:
    """A residual covariance as a function of its parameters.

    Attributes
    ----------
    structure : str
        As `ResidualDesign` has it.
    columns : ndarray (n, d)
        D, rows of the design; covariates of variance functions standardised.
    back : ndarray (d, d)
        ``back @ delta`` are the parameters of the columns as they were.
    offset : ndarray (n,)
        Known part of log s.
    scales : tuple of (str, str, str)
        Of each delta: kind (`sigma`, `power`, `exponential`), stratum and visit or level, empty where none.
    T, G : int
        Visits and strata.
    times : ndarray (T,)
        Times of the visits.
    step : float
        AR(1): the gap whose correlation is the parameter; all gaps are multiples of it, if they can be.
    signed : bool
        AR(1): whether a negative correlation has a meaning (gaps are odd multiples of whole numbers).
    most : int
        Rows of the largest subject.
    """

    structure: str
    columns: FloatArray
    back: FloatArray
    offset: FloatArray
    scales: tuple[tuple[str, str, str], ...]
    T: int
    G: int
    times: FloatArray
    step: float
    signed: bool
    most: int

    @property
    def n_scales(self) -> int:
        """Length of delta."""
        return len(self.scales)

    @property
    def constant(self) -> FloatArray:
        """Change of delta (d,) that multiplies every standard deviation by e."""
        return np.array([float(kind == "sigma") for kind, _, _ in self.scales])

    @property
    def n_each(self) -> int:
        """Correlation parameters of a stratum."""
        T = self.T
        return {
            "independent": 0,
            "compound_symmetry": 1,
            "ar1": 1,
            "toeplitz": T - 1,
            "antedependence": T - 1,
            "unstructured": T * (T - 1) // 2,
        }[self.structure]

    @property
    def k(self) -> int:
        """Length of phi."""
        return self.n_scales + self.G * self.n_each

    def scale(self, phi: FloatArray, rows: IntArray) -> FloatArray:
        """Residual standard deviations of rows of the design."""
        return np.exp(self.offset[rows] + self.columns[rows] @ phi[: self.n_scales])

    def by_stratum(self, phi: FloatArray) -> FloatArray:
        """Theta (G, n_each)."""
        return phi[self.n_scales :].reshape(self.G, self.n_each)

    def rho(self, phi: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The one correlation of CS or AR(1, over `step`) in each stratum (G,), and its derivative."""
        theta = self.by_stratum(phi)[:, 0]
        lowest = -1.0 if self.structure == "ar1" and self.signed else 0.0
        if self.structure == "compound_symmetry":
            lowest = -1 / max(self.most - 1, 1)
        share = 1 / (1 + np.exp(-2 * theta))  # tanh where the lowest is -1
        return lowest + (1 - lowest) * share, 2 * (1 - lowest) * share * (1 - share)

    def theta_of_rho(self, rho: float) -> float:
        """The parameter of a correlation of CS or AR(1)."""
        lowest = -1.0 if self.structure == "ar1" and self.signed else 0.0
        if self.structure == "compound_symmetry":
            lowest = -1 / max(self.most - 1, 1)
        share = np.clip((rho - lowest) / (1 - lowest), 0.02, 0.98)
        return float(np.log(share / (1 - share)) / 2)

    def correlations(self, phi: FloatArray) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
        """Correlation of the visits in each stratum (T, T), and its derivatives (n_each, T, T)."""
        T = self.T
        if self.structure in MATRIX_STRUCTURES:
            function = {"unstructured": unstructured, "toeplitz": toeplitz, "antedependence": antedependence}
            pairs = [function[self.structure](theta, T) for theta in self.by_stratum(phi)]
        elif self.structure == "independent":
            pairs = [(np.eye(T), np.zeros((0, T, T)))] * self.G
        else:
            rho, d_rho = self.rho(phi)
            gaps = np.abs(np.subtract.outer(self.times, self.times)) / self.step
            gaps = gaps if self.structure == "ar1" else 1.0 - np.eye(T)
            gaps = np.round(gaps) if self.signed else gaps
            off = gaps > 0
            pairs = []
            for value, slope in zip(rho, d_rho, strict=True):
                C = np.where(off, np.power(value, gaps), 1.0)
                d = np.where(off, gaps * np.power(value, np.where(off, gaps - 1, 0.0)), 0.0)
                pairs.append((C, (d * slope)[None]))
        return tuple(C for C, _ in pairs), tuple(d for _, d in pairs)

    def whitening(self, phi: FloatArray, layout: Frames) -> Whitening:
        """The correlation at phi, ready to be taken out of sorted rows that have been divided by s."""
        if self.structure == "independent":
            return Uncorrelated()
        if self.structure in ("unstructured", "toeplitz"):
            return dense(layout, *self.correlations(phi))
        place = np.eye(self.G)
        if self.structure == "compound_symmetry":
            rho, d_rho = self.rho(phi)
            return Exchangeable(layout, rho[layout.strata], (d_rho[:, None] * place)[layout.strata])
        stratum = layout.strata[layout.frame_of_row]
        later = np.ones(layout.visits.shape[0], dtype=bool)
        later[layout.starts] = False
        before = np.roll(layout.visits, 1)
        if self.structure == "ar1":
            rho, d_rho = self.rho(phi)
            gap = np.where(later, (self.times[layout.visits] - self.times[before]) / self.step, 1.0)
            gap = np.round(gap) if self.signed else gap
            a = np.where(later, np.power(rho[stratum], gap), 0.0)
            slope = np.where(later, gap * np.power(rho[stratum], gap - 1) * d_rho[stratum], 0.0)
            return Markov(layout, a, slope[:, None] * place[stratum])
        C, d = self.correlations(phi)
        a = np.where(later, np.stack(C)[stratum, before, layout.visits], 0.0)
        k = self.n_each
        d_a = np.zeros((a.shape[0], self.G * k))
        for g in range(self.G):
            inside = np.flatnonzero(later & (stratum == g))
            d_a[inside, g * k : (g + 1) * k] = d[g][:, before[inside], layout.visits[inside]].T
        return Markov(layout, a, d_a)


def residual_model(residual: ResidualDesign, weights: FloatArray | None) -> ResidualModel:
    """The parameters of a residual covariance.

    Parameters
    ----------
    residual : ResidualDesign
        Structure, visits, strata, variance function.
    weights : ndarray (n,) or None
        Prior weights: variances are divided by them.
    """
    n = residual.subjects.shape[0]
    columns, back, scales = _scale_columns(residual)
    step, signed = _step(residual.times)
    return ResidualModel(
        structure=residual.structure,
        columns=columns,
        back=back,
        offset=np.zeros(n) if weights is None else -0.5 * np.log(weights),
        scales=scales,
        T=max(len(residual.visit_labels), 1),
        G=max(len(residual.stratum_labels), 1) if residual.by else 1,
        times=residual.times,
        step=step,
        signed=signed,
        most=int(np.bincount(residual.subjects).max()),
    )


def _scale_columns(
    residual: ResidualDesign,
) -> tuple[FloatArray, FloatArray, tuple[tuple[str, str, str], ...]]:
    """D (n, d), the way back from its standardised columns (d, d), and what they are."""
    strata = residual.stratum_labels if residual.by else ("",)
    function = residual.variance
    each_visit = residual.heterogeneous or residual.structure == "unstructured"
    columns: list[FloatArray] = []
    scales: list[tuple[str, str, str]] = []
    moved: list[tuple[int, float, float]] = []
    for g, stratum in enumerate(strata):
        inside = (residual.strata == g) if residual.by else np.ones(residual.subjects.shape[0], dtype=bool)
        if function is not None and function.kind == "strata":
            levels, codes = function.labels, function.values
        elif each_visit:
            levels, codes = residual.visit_labels, residual.visits.astype(float)
        else:
            levels, codes = ("",), np.zeros(inside.shape[0])
        for code, level in enumerate(levels):
            columns.append((inside & (codes == code)).astype(float))
            scales.append(("sigma", stratum, level))
        if function is not None and function.kind != "strata":
            x = np.log(np.abs(function.values)) if function.kind == "power" else function.values
            centre, spread = float(x[inside].mean()), float(x[inside].std()) or 1.0
            moved.append((len(columns), centre, spread))
            columns.append(np.where(inside, (x - centre) / spread, 0.0))
            scales.append((function.kind, stratum, ""))
    back = np.eye(len(columns))
    for place, centre, spread in moved:  # the column before it is log sigma of its stratum
        back[place, place] = 1 / spread
        back[place - 1, place] = -centre / spread
    return np.column_stack(columns), back, tuple(scales)


def _step(times: FloatArray) -> tuple[float, bool]:
    """Unit of the gaps between times, and whether a negative correlation can be raised to all of them.

    Whole-numbered times have their greatest common divisor as unit; the sign survives if that is odd. Other
    times have their median gap, and a correlation between 0 and 1.
    """
    gaps = np.diff(np.sort(times)) if times.size > 1 else np.ones(1)
    if np.all(times == np.round(times)) and np.abs(times).max(initial=0) < 2**52:
        common = gcd(*(int(gap) for gap in gaps))
        return float(max(common, 1)), common % 2 == 1
    return float(np.median(gaps)), False
