"""Where the search for a residual covariance starts: moments of the residuals of least squares."""

from __future__ import annotations

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.covariance import ResidualDesign
from nestwise.likelihood.correlation import antedependence_start, toeplitz_start, unstructured_start
from nestwise.likelihood.marginal import MarginalData
from nestwise.likelihood.residual import ResidualModel


def starts(data: MarginalData, residual: ResidualDesign) -> list[tuple[str, FloatArray]]:
    """Named parameters (k,) to start from: the first by moments.

    With random effects, whose variance and the residual correlation explain the same moments, three shares of
    one and the other are tried.
    """
    model, pattern = data.model, data.working.pattern
    e = data.working.W[:, -1]
    delta = _scales(model, e)
    standardised = e / np.exp(model.offset + model.columns @ delta)
    theta = _correlations(model, residual, standardised)
    if not data.q:
        return [("moments", np.concatenate([delta, theta]))]
    # half the variance to either part, and most of it to one of them
    identity = pattern.elements(np.eye(data.q)) / np.sqrt(data.q)
    return [
        (
            name,
            np.concatenate(
                [delta + model.constant * np.log(1 - share) / 2, damp * theta, identity * share**0.5]
            ),
        )
        for name, share, damp in (
            ("half and half", 0.5, 0.5),
            ("mostly random effects", 0.8, 0.1),
            ("mostly residual", 0.1, 1.0),
        )
    ]


def _scales(model: ResidualModel, e: FloatArray) -> FloatArray:
    """Log standard deviations; exponents of variance functions by regression of log|e|."""
    scaled = e * np.exp(-model.offset)
    if all(kind == "sigma" for kind, _, _ in model.scales):
        squares = model.columns.T @ scaled**2 / np.maximum(model.columns.sum(axis=0), 1)
        return np.log(np.maximum(squares, 1e-6)) / 2
    size = np.log(np.maximum(np.abs(scaled), 1e-3))
    delta = np.linalg.lstsq(model.columns, size + 0.635, rcond=None)[0]  # E log|N(0, 1)| = -0.635
    return np.asarray(np.clip(delta, -3, 3))


def _correlations(model: ResidualModel, residual: ResidualDesign, e: FloatArray) -> FloatArray:
    """Theta, stratum by stratum."""
    parts = [np.zeros(0)]
    for g in range(model.G if model.n_each else 0):
        inside = residual.strata == g if residual.by else np.ones(e.shape[0], dtype=bool)
        subjects, visits, values = residual.subjects[inside], residual.visits[inside], e[inside]
        if model.structure == "compound_symmetry":
            parts.append(np.array([model.theta_of_rho(_common(subjects, values))]))
        elif model.structure == "ar1":
            parts.append(np.array([model.theta_of_rho(_serial(model, subjects, visits, values))]))
        else:
            C = _pairwise(subjects, visits, values, model.T)
            function = {
                "unstructured": unstructured_start,
                "toeplitz": toeplitz_start,
                "antedependence": antedependence_start,
            }[model.structure]
            parts.append(function(C))
    return np.concatenate(parts)


def _common(subjects: IntArray, values: FloatArray) -> float:
    """Mean product of two rows of a subject, relative to the mean square."""
    codes = np.unique(subjects, return_inverse=True)[1]
    counts = np.bincount(codes)
    sums, squares = np.bincount(codes, values), np.bincount(codes, values**2)
    pairs = float((counts * (counts - 1)).sum())
    return float((sums**2 - squares).sum()) / max(pairs, 1.0) / max(float((values**2).mean()), 1e-12)


def _serial(model: ResidualModel, subjects: IntArray, visits: IntArray, values: FloatArray) -> float:
    """Correlation at one step, from rows that follow each other."""
    order = np.lexsort((visits, subjects))
    follows = np.diff(subjects[order]) == 0
    gaps = np.diff(model.times[visits[order]])[follows] / model.step
    if not gaps.size:
        return 0.0
    products = (values[order][1:] * values[order][:-1])[follows]
    r = float(np.clip(products.mean() / max(float((values**2).mean()), 1e-12), -0.9, 0.95))
    gap = float(np.median(gaps))
    return r if abs(gap - 1) < 1e-9 else max(r, 0.05) ** (1 / gap)


def _pairwise(subjects: IntArray, visits: IntArray, values: FloatArray, T: int) -> FloatArray:
    """Correlations (T, T) over subjects that have both visits; 0 where none has."""
    codes = np.unique(subjects, return_inverse=True)[1]
    filled, seen = np.zeros((codes.max() + 1, T)), np.zeros((codes.max() + 1, T))
    filled[codes, visits] = values
    seen[codes, visits] = 1.0
    products, squares = filled.T @ filled, (filled**2).T @ seen
    size = np.sqrt(squares * squares.T)
    C = np.clip(np.where(size > 0, products / np.where(size > 0, size, 1.0), 0.0), -0.98, 0.98)
    np.fill_diagonal(C, 1.0)
    return C
