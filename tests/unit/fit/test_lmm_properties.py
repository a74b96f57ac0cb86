"""What may not change an answer does not: order, names and units, over one factor and several.

Estimates are compared to 2e-5 of their scale: the optimum is where a Newton step promises less than 1e-7 of
the deviance, which leaves SDs that much freedom. The log-likelihood itself, flat there, is compared to 1e-7.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.record import Design, Membership, RandomTerm, RowFlow
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.state import solve_lmm

ONE = "(Intercept)"
MODELS = {
    "intercepts": [("a", (ONE,), True)],
    "slopes": [("a", (ONE, "x"), True)],
    "independent": [("a", (ONE, "x"), False)],
    "nested": [("a", (ONE,), True), ("a:b", (ONE,), True)],
    "nested_slopes": [("a", (ONE, "x"), True), ("a:b", (ONE,), True)],
    "crossed": [("a", (ONE,), True), ("c", (ONE,), True)],
    "crossed_slopes": [("a", (ONE, "x"), True), ("c", (ONE,), True)],
    "crossed_independent": [("a", (ONE, "x"), False), ("c", (ONE, "x"), False)],
    "three": [("a", (ONE,), True), ("a:b", (ONE,), True), ("c", (ONE,), True)],
}
several = pytest.mark.parametrize("model", MODELS)
quick = pytest.mark.parametrize("model", ["slopes", "nested", "crossed_slopes"])


def study(model, seed=11, reml=True):
    """A simulated study: 9 groups a of 3 groups b each, crossed with 7 groups c; no variance near 0."""
    rng = np.random.default_rng(seed)
    inner = np.repeat(np.arange(27), rng.integers(3, 8, 27))
    outer, n = inner // 3, inner.size
    across = rng.permutation(np.arange(n) % 7)
    x = rng.normal(size=n)
    u = rng.normal(size=9)[outer]
    slope = 0.5 + rng.normal(size=9)[outer] + (rng.normal(size=7)[across] if "cross" in model else 0)
    y = 2 + slope * x + 0.4 * u + 1.5 * rng.normal(size=9)[outer] + rng.normal(size=n)
    y += rng.normal(size=27)[inner] + rng.normal(size=7)[across]
    columns = {ONE: np.ones(n), "x": x, "u": u}
    codes = {"a": outer, "a:b": inner, "c": across}
    terms = tuple(
        RandomTerm(
            group, names, np.column_stack([columns[name] for name in names]), codes[group],
            tuple(f"{group}{j}" for j in range(codes[group].max() + 1)), correlated,
        )
        for group, names, correlated in MODELS[model]
    )  # fmt: skip
    X = np.column_stack(list(columns.values()))
    return Design(
        "study", "m", "y ~ x + u + (...)", "y", y, X, tuple(columns), terms,
        np.arange(n) + 1, RowFlow(n, n, 27, 27), "hash", reml=reml,
    )  # fmt: skip


def solved(design):
    state = solve_lmm(design)
    assert state.optimum.converged
    return state.solution


def taken(design, order):
    """The same study with its rows in another order."""
    terms = tuple(replace(term, Z=term.Z[order], codes=term.codes[order]) for term in design.random)
    return replace(design, y=design.y[order], X=design.X[order], rows=design.rows[order], random=terms)


def same(found, expected, *, scale=1.0, places=None, n_effects=True):
    """Two solutions agree, with outcomes `scale` times as large and fixed effects at `places`."""
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-7)
    near(found.beta, scale * expected.beta, scale)
    near(found.cov_beta, scale**2 * expected.cov_beta, scale**2)
    near(found.sigma, scale * expected.sigma, scale)
    near(found.Sigma, scale**2 * expected.Sigma, scale**2)
    if n_effects:
        for ours, theirs in zip(found.effects, expected.effects, strict=True):
            assert ours.group == theirs.group
            near(ours.b, scale * theirs.b, scale)
            near(ours.b_cov, scale**2 * theirs.b_cov, scale**2)


def near(found, expected, scale=1.0):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * scale)


@several
@pytest.mark.parametrize("reml", [True, False])
def test_order_of_rows(model, reml):
    design = study(model, reml=reml)
    order = np.random.default_rng(1).permutation(design.n)
    same(solved(taken(design, order)), solved(design))


@several
def test_a_group_in_two_parts_of_the_file(model):
    """The rows of one group stand at both ends: grouping is by name, not by neighbourhood."""
    design = study(model)
    own = np.flatnonzero(design.random[0].codes == 4)
    half = own[: own.size // 2]
    order = np.concatenate([half, np.setdiff1d(np.arange(design.n), half)])
    same(solved(taken(design, order)), solved(design))


@several
def test_names_of_groups(model):
    """Other codes: the effects follow their groups."""
    design, rng = study(model), np.random.default_rng(2)
    names = {term.group: rng.permutation(term.n_groups) for term in design.random}
    terms = tuple(replace(term, codes=names[term.group][term.codes]) for term in design.random)
    base, found = solved(design), solved(replace(design, random=terms))
    same(found, base, n_effects=False)
    for ours, theirs in zip(found.effects, base.effects, strict=True):
        near(ours.b[names[ours.group]], theirs.b)
        near(ours.b_cov[names[ours.group]], theirs.b_cov)


@several
@pytest.mark.parametrize("scale", [1e-6, 1e5])
def test_unit_of_the_outcome(model, scale):
    design = study(model)
    base, found = solved(design), solved(replace(design, y=scale * design.y))
    m = design.n - design.X.shape[1]
    moved = replace(found, deviance=found.deviance - 2 * m * np.log(scale))
    same(moved, base, scale=scale)


@several
@pytest.mark.parametrize("constant", [-3.0, 1e4])
def test_a_constant_is_added_to_the_outcome(model, constant):
    design = study(model)
    base, found = solved(design), solved(replace(design, y=design.y + constant))
    near(found.beta[0] - constant, base.beta[0])
    same(replace(found, beta=base.beta), base)
    near(found.beta[1:], base.beta[1:])


@several
def test_unit_and_origin_of_a_covariate(model):
    """x in other units and from another origin: same likelihood and sigma, slopes in the new units.

    Independent intercepts and slopes depend on the origin (only a correlation can follow it): it stays there.
    """
    design = study(model)
    free = all(term.correlated for term in design.random)
    unit, origin = 250.0, 3.0 if free else 0.0

    def moved(column):
        return origin + column / unit

    X = design.X.copy()
    X[:, 1] = moved(X[:, 1])
    terms = tuple(
        replace(term, Z=np.column_stack([term.Z[:, 0], *map(moved, term.Z[:, 1:].T)]))
        for term in design.random
    )
    base, found = solved(design), solved(replace(design, X=X, random=terms))
    constant = 2 * np.log(unit) if design.reml else 0.0  # log |X'X| under REML
    assert found.deviance + constant == pytest.approx(base.deviance, abs=1e-5)
    near(found.sigma, base.sigma)
    near(found.beta[1] / unit, base.beta[1])
    near(found.beta[2], base.beta[2])
    for k, name in enumerate(design.varying):
        if name == "x":
            near(found.sd[k] / unit, base.sd[k])
    for ours, theirs in zip(found.effects, base.effects, strict=True):
        if ours.b.shape[1] == 2:
            near(ours.b[:, 1] / unit, theirs.b[:, 1])
            near(ours.b[:, 0] + origin * ours.b[:, 1], theirs.b[:, 0])


@several
def test_an_offset_is_known(model):
    """Offset and outcome move together: nothing else does."""
    design = study(model)
    offset = np.linspace(-2, 5, design.n) ** 2
    same(solved(replace(design, y=design.y + offset, offset=offset)), solved(design))


@pytest.mark.parametrize("model", [name for name, terms in MODELS.items() if len(terms) > 1])
def test_order_of_the_terms(model):
    """(1 | a) + (1 | c) is (1 | c) + (1 | a)."""
    design = study(model)
    base = solved(design)
    turned = replace(design, random=design.random[::-1])
    found = solved(turned)
    assert found.log_likelihood == pytest.approx(base.log_likelihood, abs=1e-7)
    near(found.beta, base.beta)
    near(found.cov_beta, base.cov_beta)
    near(found.sigma, base.sigma)
    effects = {one.group: one for one in found.effects}
    assert list(effects) == [factor.group for factor in turned.factors]
    for theirs in base.effects:
        ours = effects[theirs.group]
        near(ours.b, theirs.b)
        near(ours.b_cov, theirs.b_cov)
        inside, outside = np.ix_(ours.columns, ours.columns), np.ix_(theirs.columns, theirs.columns)
        near(found.Sigma[inside], base.Sigma[outside])


@several
def test_order_of_the_fixed_effects(model):
    design = study(model)
    order = [2, 0, 1]
    base = solved(design)
    found = solved(replace(design, X=design.X[:, order], names=tuple(design.names[k] for k in order)))
    expected = replace(base, beta=base.beta[order], cov_beta=base.cov_beta[np.ix_(order, order)])
    same(found, expected)


@several
def test_equal_weights_change_the_meaning_of_sigma_alone(model):
    """Variance sigma^2 / 2 in every row: sigma is sqrt(2) times as large, all else the same."""
    design = study(model)
    base = solved(design)
    found = solved(replace(design, weights=np.full(design.n, 2.0)))
    near(found.sigma, np.sqrt(2) * base.sigma)
    same(replace(found, sigma=base.sigma), base)


@quick
def test_weights_are_precisions_not_copies(model):
    """As lmer has it: weights of 3 are no information, three copies of a row are."""
    design = study(model)
    base = solved(design)
    weighted = solved(replace(design, weights=np.full(design.n, 3.0)))
    copies = solved(taken(design, np.repeat(np.arange(design.n), 3)))
    near(weighted.beta, base.beta)
    assert weighted.log_likelihood == pytest.approx(base.log_likelihood, abs=1e-7)
    assert copies.sigma < weighted.sigma / 1.5
    assert abs(copies.log_likelihood - base.log_likelihood) > 10


@quick
def test_weights_go_with_their_rows(model):
    design, rng = study(model), np.random.default_rng(3)
    weights, order = rng.uniform(0.2, 4, design.n), rng.permutation(design.n)
    base = solved(replace(design, weights=weights))
    same(solved(replace(taken(design, order), weights=weights[order])), base)
    assert abs(base.log_likelihood - solved(design).log_likelihood) > 0.1


def test_crossed_ids_that_coincide_are_nested():
    """Inner names used once only: (1 | a) + (1 | b) is (1 | a/b), whatever the engine recognises."""
    design = study("nested")
    inner = design.random[1]
    shuffled = np.random.default_rng(4).permutation(27)
    crossed = replace(inner, group="b", codes=shuffled[inner.codes])
    base, found = solved(design), solved(replace(design, random=(design.random[0], crossed)))
    same(found, base, n_effects=False)
    near(found.effects[0].b, base.effects[0].b)
    near(found.effects[1].b[shuffled], base.effects[1].b)


def test_single_memberships_are_plain_groups():
    """mm() of one membership with weight 1; and of two halves in the same group."""
    for model in ("intercepts", "slopes", "crossed"):
        design = study(model)
        term = design.random[0]
        base = solved(design)
        single = Membership(term.codes[:, None], np.ones((design.n, 1)))
        halves = Membership(np.column_stack([term.codes] * 2), np.tile([0.25, 0.75], (design.n, 1)))
        for membership in (single, halves):
            terms = (replace(term, membership=membership), *design.random[1:])
            same(solved(replace(design, random=terms)), base)


def test_names_of_memberships_do_not_matter():
    """The two memberships of a row may be written in either order."""
    design, rng = study("intercepts"), np.random.default_rng(5)
    term = design.random[0]
    codes = np.column_stack([term.codes, rng.integers(0, 9, design.n)])
    weights = rng.dirichlet([2, 2], design.n)
    both = replace(design, random=(replace(term, membership=Membership(codes, weights)),))
    turned = Membership(codes[:, ::-1], weights[:, ::-1])
    same(solved(replace(design, random=(replace(term, membership=turned),))), solved(both))


def test_independent_groups_are_a_relation():
    """K = I is the plain model."""
    for model in ("intercepts", "slopes", "crossed_slopes"):
        design = study(model)
        term = replace(design.random[0], relation=np.eye(9))
        same(solved(replace(design, random=(term, *design.random[1:]))), solved(design))


def test_a_relation_goes_with_its_labels():
    design, rng = study("intercepts"), np.random.default_rng(6)
    distance = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    relation, order = 0.6**distance, rng.permutation(9)
    term = design.random[0]
    base = solved(replace(design, random=(replace(term, relation=relation),)))
    other = np.empty_like(relation)
    other[np.ix_(order, order)] = relation
    found = solved(replace(design, random=(replace(term, relation=other, codes=order[term.codes]),)))
    same(found, base, n_effects=False)
    near(found.effects[0].b[order], base.effects[0].b)
    assert abs(base.log_likelihood - solved(design).log_likelihood) > 1e-3


def test_a_multiple_of_a_relation_is_a_multiple_of_the_variance():
    """K and 4 K are the same model, with half the standard deviation; two searches end 1e-5 apart."""
    design = study("slopes")
    relation = 0.6 ** np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    one, four = (
        solved(replace(design, random=(replace(design.random[0], relation=times * relation),)))
        for times in (1.0, 4.0)
    )
    assert four.deviance == pytest.approx(one.deviance, abs=1e-9)
    np.testing.assert_allclose(2 * four.sd, one.sd, rtol=1e-4)
    near(four.effects[0].b, one.effects[0].b)


@pytest.mark.parametrize("model", ["intercepts", "slopes", "crossed_slopes"])
def test_order_of_rows_of_related_groups(model):
    design = study(model)
    relation = 0.6 ** np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    design = replace(design, random=(replace(design.random[0], relation=relation), *design.random[1:]))
    order = np.random.default_rng(8).permutation(design.n)
    same(solved(taken(design, order)), solved(design))


def test_families_may_be_written_apart():
    """A relation of unrelated families is that of each by itself: the groups may stand in any order."""
    design, rng = study("intercepts"), np.random.default_rng(9)
    families = np.kron(np.eye(3), np.full((3, 3), 0.5) + 0.5 * np.eye(3))
    order = rng.permutation(9)
    term = design.random[0]
    mixed = replace(term, relation=families[np.ix_(order, order)], codes=np.argsort(order)[term.codes])
    base = solved(replace(design, random=(replace(term, relation=families),)))
    found = solved(replace(design, random=(mixed,)))
    same(found, base, n_effects=False)
    near(found.effects[0].b[np.argsort(order)], base.effects[0].b)


@quick
def test_known_errors_go_with_their_rows(model):
    """Known standard errors: sigma is 1, and the rows may stand in any order."""
    design, rng = study(model), np.random.default_rng(7)
    errors, order = rng.uniform(0.5, 1.5, design.n), rng.permutation(design.n)
    base = solved(replace(design, sampling_error=errors))
    assert base.sigma == pytest.approx(1, abs=1e-12)
    same(solved(replace(taken(design, order), sampling_error=errors[order])), base)


@pytest.mark.parametrize("model", ["slopes", "nested_slopes", "crossed"])
def test_the_whole_fit_does_not_know_the_order(model):
    """Tests, intervals, tables of groups and predictions too."""
    design = study(model)
    order = np.random.default_rng(8).permutation(design.n)
    base, found = fit_lmm(design), fit_lmm(taken(design, order))
    for ours, theirs in zip(found.estimates, base.estimates, strict=True):
        assert (ours.component, ours.group, ours.term) == (theirs.component, theirs.group, theirs.term)
        for name in ("estimate", "std_error", "df", "p_value", "lower", "upper"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert (mine is None) == (other is None), (ours, name)
            if mine is not None:
                assert mine == pytest.approx(other, rel=1e-3, abs=1e-4), (ours, name)
    keys = ["group", "label", "term"]
    for table, by in (("groups", keys), ("predictions", ["row"])):
        mine, other = (getattr(fit, table).sort(by) for fit in (found, base))
        column = "random_effect" if table == "groups" else "fitted"
        near(mine[column].to_numpy(), other[column].to_numpy())


def reading(formula, folder):
    """A design by way of a study's formula."""
    from nestwise.config.study import Model, Study
    from nestwise.data.contract import validate
    from nestwise.data.prepare import prepare
    from nestwise.data.read import read
    from nestwise.design.build import build_design

    path = folder / "rows.csv"
    if not path.exists():
        design = study("three")
        a, inner, c = (term.codes for term in design.random)
        lines = [
            f"{y},{x},g{j},{k % 3},s{m}"
            for y, x, j, k, m in zip(design.y, design.X[:, 1], a, inner, c, strict=True)
        ]
        path.write_text("\n".join(["y,x,a,b,c", *lines]) + "\n")
    file = Study.model_validate(
        {
            "title": "rows",
            "data": {"source": path.name},
            "groups": {"a": {}, "b": {"within": "a"}, "c": {}},
            "models": {"m": {"formula": formula}},
        }
    )
    typed = read(path, file.data, file.variables, file.groups, file.time)
    dataset = prepare(
        typed, validate(typed, file, source=path.name), "rows", file.groups, file.time, file.derive
    )
    return build_design(dataset, "m", Model(formula=formula))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y ~ x + (1 | a/b)", "y ~ x + (1 | a) + (1 | a:b)"),
        ("y ~ x + (1 | a/b)", "y ~ x + (1 | a:b) + (1 | a)"),
        ("y ~ x + (x | a/b)", "y ~ x + (x | a) + (x | a:b)"),
        ("y ~ x + (1 | a) + (1 | c)", "y ~ 1 + x + (1 | c) + (1 | a)"),
        ("y ~ x + (x || a) + (1 | c)", "y ~ x + (1 | a) + (0 + x | a) + (1 | c)"),
    ],
)
def test_formulas_that_mean_the_same(one, other, tmp_path):
    first, second = (reading(formula, tmp_path) for formula in (one, other))
    a, b = solved(first), solved(second)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-7)
    near(a.beta, b.beta)
    near(a.sigma, b.sigma)
    theirs = {effects.group: effects for effects in b.effects}
    for effects in a.effects:
        near(effects.b, theirs[effects.group].b)
