"""What must not matter to a marginal model, does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.fit.gee import fit_gee

STRUCTURES = ("independence", "exchangeable", "ar1", "unstructured", "m_dependent", "nested")


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_order_of_rows_and_the_names_of_clusters_change_nothing(marginal_study, structure):
    """Rule 15."""
    design = marginal_study("binomial", "probit", structure)
    order = np.random.default_rng(5).permutation(design.n)
    back = np.random.default_rng(6).permutation(design.random[0].n_groups)

    def moved(term, renamed):
        codes = back[term.codes] if renamed else term.codes
        return replace(term, codes=codes[order], Z=term.Z[order])

    occasions = design.occasions
    shuffled = replace(
        design,
        y=design.y[order],
        X=design.X[order],
        trials=design.trials[order],
        random=tuple(moved(term, place == 0) for place, term in enumerate(design.random)),
        occasions=None if occasions is None else replace(occasions, visits=occasions.visits[order]),
    )
    one, other = (fit_gee(each, structure, 2) for each in (design, shuffled))
    for row, same in zip(one.estimates, other.estimates, strict=True):
        assert (row.term, row.estimate) == (same.term, pytest.approx(same.estimate, rel=1e-8, abs=1e-10))
        if row.std_error is not None:
            assert row.std_error == pytest.approx(same.std_error, rel=1e-8)
    assert other.predictions["fitted"].to_numpy() == pytest.approx(
        one.predictions["fitted"].to_numpy()[order]
    )


def test_exchangeable_is_independence_with_complete_data_and_covariates_of_the_cluster(make_design):
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(60), 4)
    z = rng.normal(size=60)[codes]
    y = (rng.normal(size=60)[codes] + rng.normal(size=240) + z > 0).astype(float)
    one = np.ones(240)
    design = make_design(
        y, {"(Intercept)": one, "z": z}, ("g", codes, {"(Intercept)": one}, True), family="binomial"
    )
    design = replace(design, link="logit")
    for kind in ("LZ", "KC", "MD"):
        one, other = (fit_gee(design, each, variance=kind) for each in ("independence", "exchangeable"))
        for row, same in zip(one.estimates[:2], other.estimates[:2], strict=True):
            assert row.estimate == pytest.approx(same.estimate, abs=1e-9)
            assert row.std_error == pytest.approx(same.std_error, rel=1e-8)


@pytest.mark.parametrize("structure", ["exchangeable", "ar1"])
def test_units_of_outcome_and_covariates_do_not_matter(marginal_study, structure):
    design = marginal_study("gaussian", "identity", structure)
    X = design.X * [1, 1e6, 1] + [0, 2015e6, 0]
    other = replace(design, y=1e5 * design.y, X=X)
    one, two = fit_gee(design, structure), fit_gee(other, structure)
    for place, scale in ((1, 1e5 / 1e6), (2, 1e5)):
        assert two.estimates[place].estimate == pytest.approx(one.estimates[place].estimate * scale, rel=1e-7)
        assert two.estimates[place].statistic == pytest.approx(one.estimates[place].statistic, rel=1e-7)


def test_successes_of_trials_are_rows_of_single_trials(marginal_study):
    design = marginal_study()
    n, trials = np.arange(design.n), design.trials.astype(int)
    rows = np.repeat(n, trials)
    y = np.concatenate([np.arange(m) < s for m, s in zip(trials, design.y, strict=True)]).astype(float)
    term = design.random[0]
    single = replace(
        design,
        rows=np.arange(rows.size),
        y=y,
        X=design.X[rows],
        trials=None,
        random=(replace(term, codes=term.codes[rows], Z=term.Z[rows]),),
    )
    for kind in ("LZ", "MD"):
        one, other = (fit_gee(each, "independence", variance=kind) for each in (design, single))
        for row, same in zip(one.estimates[:3], other.estimates[:3], strict=True):
            assert row.estimate == pytest.approx(same.estimate, abs=1e-9)
            assert row.std_error == pytest.approx(same.std_error, rel=1e-7)
