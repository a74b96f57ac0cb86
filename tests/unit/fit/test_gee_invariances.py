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


@pytest.mark.parametrize("structure", STRUCTURES)
def test_clusters_weighted_by_whole_numbers_are_clusters_seen_so_often(marginal_study, structure):
    """The weights of selection count rows, in the equations and in the moments."""
    design = marginal_study("binomial", "logit", structure)
    codes, n = design.random[0].codes, np.arange(design.n)
    times = 1 + codes % 3
    rows = np.repeat(n, times)
    copy = np.concatenate([np.arange(k) for k in times])

    def again(term):
        code = term.codes[rows] * 3 + copy
        labels = tuple(map(str, range(3 * len(term.labels))))
        return replace(term, codes=code, labels=labels, Z=term.Z[rows])

    occasions = design.occasions
    seen = replace(
        design,
        y=design.y[rows],
        X=design.X[rows],
        trials=design.trials[rows],
        rows=np.arange(rows.size),
        random=tuple(again(term) for term in design.random),
        occasions=None if occasions is None else replace(occasions, visits=occasions.visits[rows]),
    )
    one = fit_gee(design, structure, 2, variance="model", selection=times.astype(float))
    other = fit_gee(seen, structure, 2, variance="model")
    names = ("fixed", "residual")
    for row, same in zip(one.estimates, other.estimates, strict=True):
        if row.component in names:
            assert row.estimate == pytest.approx(same.estimate, rel=1e-7, abs=1e-9)
            if row.std_error is not None:
                assert row.std_error == pytest.approx(same.std_error, rel=1e-7)
    assert any("taken for known" in warning for warning in one.warnings)


def test_relabelled_arms_change_the_sign_and_nothing_else(marginal_study):
    design = marginal_study()
    arm = (design.X[:, 2] > 0).astype(float)
    one, other = (
        fit_gee(replace(design, X=np.column_stack([design.X[:, :2], each]))) for each in (arm, 1 - arm)
    )
    row, same = one.estimates[2], other.estimates[2]
    assert row.estimate == pytest.approx(-same.estimate, rel=1e-8)
    assert row.std_error == pytest.approx(same.std_error, rel=1e-8)
    found = {row.term: row.estimate for row in other.estimates if row.component != "fixed"}
    for each in one.estimates:
        if each.term in ("alpha", "phi", "qic", "cic"):
            assert each.estimate == pytest.approx(found[each.term], rel=1e-8)
