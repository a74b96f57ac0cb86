"""Which grids of marginal means are laid out; their numbers are held to emmeans in tests/reference."""

import numpy as np
import pytest

from nestwise.errors import Refusal

DICE = np.random.default_rng(4)
FRAME = {
    "id": [f"p{k // 4}" for k in range(48)],
    "visit": [f"v{k % 4}" for k in range(48)],
    "week": [float(k % 4) for k in range(48)],
    "arm": ["ab"[k // 4 % 2] for k in range(48)],
    "sex": ["mf"[k // 8 % 2] for k in range(48)],
    "base": DICE.normal(size=48).tolist(),
    "y": DICE.normal(size=48).tolist(),
}
MMRM = {"residual": {"structure": "unstructured", "time": "visit"}}


@pytest.fixture
def means_of(design_of):
    def make(formula, frame=FRAME, **model):
        return design_of(frame, formula, model=model, within={"id": None})

    return make


def test_a_trial_is_asked_for_its_means_by_visit_and_arm(means_of):
    (grid,) = means_of("y ~ base + visit * arm", **MMRM).means
    assert grid.by == ("visit", "arm")
    assert grid.levels[:3] == (("v0", "a"), ("v0", "b"), ("v1", "a"))


@pytest.mark.parametrize(
    ("formula", "model"),
    [
        ("y ~ base + visit * arm", {}),
        ("y ~ base + visit + arm", MMRM),
        ("y ~ visit * base", MMRM),
        ("y ~ arm * sex + visit", MMRM),
        ("y ~ week * arm", {"residual": {"structure": "ar1", "time": "week"}}),
        ("y ~ base + visit * arm", {"residual": {"structure": "independent", "by": "arm"}}),
    ],
)
def test_otherwise_only_what_is_asked_for(means_of, formula, model):
    assert means_of(formula, **model).means == ()


def test_the_default_gives_way_to_what_is_asked_for(means_of):
    grids = means_of("y ~ base + visit * arm", means=[["arm"], ["sex"]][:1], **MMRM).means
    assert [grid.by for grid in grids] == [("arm",)]


def test_visits_written_as_a_factor_of_numbers(means_of):
    model = {"residual": {"structure": "ar1", "time": "week"}}
    (grid,) = means_of("y ~ factor(week) * arm", **model).means
    assert grid.by == ("week", "arm")
    assert grid.levels[-1] == ("3", "b")


def test_left_out_factors_weigh_equally_and_covariates_stand_at_their_mean(means_of):
    """Unbalanced arms: the rows of X by hand."""
    frame = {name: values[:20] for name, values in FRAME.items()}
    design = means_of("y ~ arm + sex + base", frame, means=[["arm"]])
    (grid,) = design.means
    base = float(np.mean(frame["base"]))
    np.testing.assert_allclose(grid.X, [[1, 0, 0.5, base], [1, 1, 0.5, base]], rtol=1e-14)


def test_covariates_stand_at_the_mean_of_the_analysis_rows(means_of):
    frame = FRAME | {"base": [None, *FRAME["base"][1:]]}
    (grid,) = means_of("y ~ arm + base", frame, means=[["arm"]]).means
    assert grid.X[0, 2] == pytest.approx(np.mean(FRAME["base"][1:]), rel=1e-12)


def test_a_numeric_variable_may_span_a_grid_if_it_has_few_values(means_of):
    (grid,) = means_of("y ~ week * arm + base", means=[["week"]]).means
    assert grid.levels == (("0",), ("1",), ("2",), ("3",))
    with pytest.raises(Refusal, match="base has 48 different values and cannot span"):
        means_of("y ~ week + base", means=[["base"]])


def test_a_mean_that_data_do_not_determine_is_marked(means_of):
    frame = FRAME | {
        "sex": ["m" if arm == "b" else sex for arm, sex in zip(FRAME["arm"], FRAME["sex"], strict=True)]
    }
    design = means_of("y ~ arm * sex", frame, means=[["arm", "sex"], ["arm"]])
    cells, arms = design.means
    assert dict(zip(cells.levels, cells.estimable.tolist(), strict=True)) == {
        ("a", "m"): True, ("a", "f"): True, ("b", "m"): True, ("b", "f"): False
    }  # fmt: skip
    assert arms.estimable.tolist() == [True, False]


def test_strangers_are_all_named(means_of):
    with pytest.raises(Refusal) as caught:
        means_of("y ~ arm + base", means=[["sex"], ["arm", "nobody"]])
    assert [problem.what.split(maxsplit=1)[0] for problem in caught.value.problems] == ["sex", "nobody"]


def test_a_grid_too_large_is_refused(means_of):
    frame = FRAME | {f"f{k}": [str(j % 6) for j in range(48)] for k in range(7)}
    formula = "y ~ " + " + ".join(f"f{k}" for k in range(7))
    with pytest.raises(Refusal, match="would hold 279,936 points"):
        means_of(formula, frame, means=[["f0"]])


def test_each_column_names_its_term(means_of):
    design = means_of("y ~ poly(base, 2) * arm + visit + I(2 * week) + week")
    assert dict(zip(design.names, design.term_of, strict=True)) == {
        "(Intercept)": "(Intercept)",
        "poly(base, 2)1": "poly(base, 2)",
        "poly(base, 2)2": "poly(base, 2)",
        "armb": "arm",
        "visitv1": "visit",
        "visitv2": "visit",
        "visitv3": "visit",
        "poly(base, 2)1:armb": "poly(base, 2):arm",
        "poly(base, 2)2:armb": "poly(base, 2):arm",
    }
