"""From data and formula to arrays: rows, names, hashes and refusals."""

import json

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Derivation
from nestwise.design.description import design_record
from nestwise.errors import FormulaError, Refusal

SMALL = {
    "y": [1.0, 2.5, 3.0, 4.5, 5.0, 7.0],
    "x": [0.5, 1.0, 1.5, 2.0, 3.0, 4.5],
    "z": [1, 0, 1, 1, 0, 2],
    "sex": ["f", "m", "f", "m", "f", "m"],
    "g": ["b", "a", "b", "a", "c", "c"],
}


def with_missing(**columns):
    return SMALL | columns


def test_a_design_has_what_the_formula_says(design_of):
    design = design_of(SMALL, "y ~ x * sex + (x | g)")
    assert design.names == ("(Intercept)", "x", "sexm", "x:sexm")
    assert design.outcome == "y"
    assert design.y.tolist() == SMALL["y"]
    assert design.X.flags.c_contiguous
    assert design.X[:, 3].tolist() == [0, 1.0, 0, 2.0, 0, 4.5]
    (term,) = design.random
    assert (term.group, term.names, term.correlated) == ("g", ("(Intercept)", "x"), True)
    assert term.labels == ("a", "b", "c")
    assert term.codes.tolist() == [1, 0, 1, 0, 2, 2]
    assert design.rows.tolist() == [1, 2, 3, 4, 5, 6]
    assert (design.n, design.n_groups, design.link, design.reml) == (6, 3, "identity", True)


def test_only_the_columns_of_the_model_are_read(make_dataset, design_of):
    wide = SMALL | {f"other{i}": [None] * 6 for i in range(3)}
    assert design_of(wide, "y ~ x + (1 | g)").row_flow.excluded == ()


def test_rows_left_out_are_accounted_for_by_the_first_variable_missing(design_of):
    frame = with_missing(
        y=[None, 2.5, 3.0, 4.5, 5.0, 7.0],
        x=[None, 1.0, float("nan"), 2.0, 3.0, 4.5],
        g=["b", "a", "b", None, "c", "c"],
    )
    design = design_of(frame, "y ~ x + (1 | g)")
    assert design.rows.tolist() == [2, 5, 6]
    flow = design.row_flow
    assert (flow.n_source, flow.n_used, flow.groups_source, flow.groups_used) == (6, 3, 3, 2)
    # b lost both its rows, one to each reason; it is counted once
    assert flow.excluded == (("y is missing", 1, 1), ("x is missing", 1, 0), ("g is missing", 1, 0))


def test_the_account_adds_up_whatever_is_missing(design_of):
    dice = np.random.default_rng(3)
    for _ in range(20):
        n = 60
        frame = {
            "y": dice.normal(size=n),
            "x": [None if dice.random() < 0.3 else float(v) for v in dice.normal(size=n)],
            "z": [None if dice.random() < 0.3 else float(v) for v in dice.normal(size=n)],
            "g": [None if dice.random() < 0.1 else str(v) for v in dice.integers(0, 25, n)],
        }
        design = design_of(frame, "y ~ x + (z | g)")
        flow = design.row_flow
        assert flow.n_source - flow.n_used == sum(rows for _, rows, _ in flow.excluded)
        assert flow.groups_source - flow.groups_used == sum(groups for *_, groups in flow.excluded)
        assert flow.groups_used == design.n_groups
        assert flow.n_used == design.n


def test_models_on_the_same_rows_and_outcome_share_a_hash(design_of):
    base = design_of(SMALL, "y ~ x + (1 | g)").analysis_hash
    assert design_of(SMALL, "y ~ x * sex + (x | g)").analysis_hash == base
    assert design_of(SMALL, "log(y) ~ x + (1 | g)").analysis_hash != base
    assert design_of(SMALL, "z ~ x + (1 | g)").analysis_hash != base
    assert design_of(with_missing(x=[None, *SMALL["x"][1:]]), "y ~ x + (1 | g)").analysis_hash != base
    assert design_of(with_missing(y=[1.5, *SMALL["y"][1:]]), "y ~ x + (1 | g)").analysis_hash != base


def test_permuting_rows_permutes_the_design_and_keeps_the_hash(design_of):
    frame = pl.DataFrame(SMALL).with_row_index(".row", offset=1)
    order = [3, 0, 5, 1, 4, 2]
    for formula in ("y ~ x * sex + (x | g)", "y ~ poly(x, 2) + scale(z) + (sex | g)"):
        plain = design_of(frame.with_columns(pl.col("sex").cast(pl.Enum(["f", "m"]))), formula)
        mixed = design_of(frame[order].with_columns(pl.col("sex").cast(pl.Enum(["f", "m"]))), formula)
        np.testing.assert_allclose(mixed.X, plain.X[order], atol=1e-12)
        np.testing.assert_allclose(mixed.random[0].Z, plain.random[0].Z[order], atol=1e-12)
        assert mixed.rows.tolist() == plain.rows[order].tolist()
        assert mixed.random[0].codes.tolist() == plain.random[0].codes[order].tolist()
        assert mixed.analysis_hash == plain.analysis_hash


def test_missing_levels_leave_the_contrasts_and_the_next_becomes_the_reference(design_of):
    frame = with_missing(sex=["u", "m", "f", "m", "f", "m"], x=[None, *SMALL["x"][1:]])
    design = design_of(frame, "y ~ x + sex + (1 | g)")
    assert design.names == ("(Intercept)", "x", "sexf")
    assert design.notes == ("sex has no rows of u; the reference is m.",)


def test_linear_combinations_are_dropped_from_the_end_and_named(design_of):
    design = design_of(SMALL, "y ~ x + I(2 * x) + I(x - 1) + z + (1 | g)")
    assert design.names == ("(Intercept)", "x", "z")
    assert design.dropped == ("I(2 * x)", "I(x - 1)")
    assert any("I(2 * x), I(x - 1)" in note for note in design.notes)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_rank_does_not_depend_on_units(design_of, scale):
    frame = SMALL | {"big": [v * scale for v in SMALL["z"]]}
    assert design_of(frame, "y ~ x + big").dropped == ()
    assert design_of(frame, "y ~ x + z + big").dropped == ("big",)


def test_more_columns_than_rows_leave_as_many_as_rows(design_of):
    design = design_of(SMALL, "y ~ factor(x) + poly(x, 2) + z")
    assert len(design.names) == 6
    assert len(design.dropped) == 3


def test_independent_terms_of_one_factor_are_one_term(design_of):
    design = design_of(SMALL, "y ~ x + (1 | g) + (0 + x | g)")
    (term,) = design.random
    assert (term.names, term.correlated) == (("(Intercept)", "x"), False)
    same = design_of(SMALL, "y ~ x + (x || g)").random[0]
    assert (same.names, same.correlated) == (term.names, term.correlated)
    np.testing.assert_array_equal(same.Z, term.Z)


def test_crossed_factors_are_two_terms_in_the_order_written(design_of):
    design = design_of(SMALL, "y ~ x + (1 | sex) + (x | g)")
    assert [term.group for term in design.random] == ["sex", "g"]
    assert design.n_groups == 3


def test_categorical_slopes_are_indicator_columns(design_of):
    assert design_of(SMALL, "y ~ 1 + (sex | g)").random[0].names == ("(Intercept)", "sexm")
    assert design_of(SMALL, "y ~ 1 + (0 + sex | g)").random[0].names == ("sexf", "sexm")


def test_independent_effects_of_a_categorical_variable_are_refused(design_of):
    # lme4 makes (1 | g) + (0 + sex | g) of it, with sexf and sexm correlated: neither what is written
    for formula in ("y ~ 1 + (sex || g)", "y ~ 1 + (0 + sex || g)", "y ~ 1 + (poly(x, 2) || g)"):
        with pytest.raises(Refusal, match=r"categorical.*\|\|"):
            design_of(SMALL, formula)


def test_an_ordinal_predictor_has_polynomial_contrasts(design_of):
    frame = SMALL | {"dose": ["low", "mid", "top"] * 2}
    assert design_of(frame, "y ~ dose", ordinal=["dose"]).names == ("(Intercept)", "dose.L", "dose.Q")
    assert design_of(frame, "y ~ dose").names == ("(Intercept)", "dosemid", "dosetop")


def test_binary_numbers_and_truth_values_keep_their_name(design_of):
    frame = SMALL | {"b": pl.Series([0, 1, 1, 0, 1, 0], dtype=pl.Int8), "t": [True, False] * 3}
    design = design_of(frame, "y ~ b + t")
    assert design.names == ("(Intercept)", "b", "t")
    assert design.X[:, 2].tolist() == [1, 0] * 3


def test_the_offset_is_a_column_of_its_own(design_of):
    design = design_of(SMALL, "y ~ x + offset(log(x)) + offset(z)")
    np.testing.assert_allclose(design.offset, np.log(SMALL["x"]) + SMALL["z"])
    assert design.names == ("(Intercept)", "x")
    assert design_of(SMALL, "y ~ x").offset is None


def test_a_two_level_outcome_suits_the_binomial_family(design_of):
    design = design_of(SMALL, "sex ~ x + (1 | g)", model={"family": "binomial"})
    assert design.y.tolist() == [0, 1, 0, 1, 0, 1]
    assert (design.link, design.reml) == ("logit", False)


def test_successes_and_failures(design_of):
    design = design_of(SMALL, "cbind(z, 3 - z) ~ x + (1 | g)", model={"family": "binomial"})
    assert design.y.tolist() == SMALL["z"]
    assert design.trials.tolist() == [3.0] * 6
    with pytest.raises(Refusal, match="family: binomial"):
        design_of(SMALL, "cbind(z, 3 - z) ~ x + (1 | g)")


def test_every_unknown_column_is_named_with_a_guess(design_of):
    with pytest.raises(FormulaError) as caught:
        design_of(SMALL | {"log.radon": [1.0] * 6}, "log.radn ~ X + qqq + (1 | g)")
    said = [str(problem) for problem in caught.value.problems]
    assert "there is no column log.radn; did you mean log.radon" in said[0]
    assert "there is no column X; did you mean x" in said[1]
    assert "there is no column qqq; the columns are y, x, z, sex, g" in said[2]


def test_the_row_number_is_no_variable(design_of):
    with pytest.raises(FormulaError, match=r"no column \.row"):
        design_of(SMALL, "y ~ .row")


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("log(z) ~ x", r"rows 2, 5: log\(z\) is infinite in 2 rows"),
        ("y ~ log(z)", r"log\(z\) is infinite in 2 rows"),
        ("y ~ x + (log(z) | g)", r"log\(z\) is infinite"),
        ("y ~ sqrt(z - 1)", r"sqrt\(z - 1\) is not defined in 2 rows"),
        ("y ~ I(x/z)", r"I\(x/z\) is infinite"),
        ("y ~ I(10^(x * 200))", "is infinite in 3 rows"),
        ("y ~ offset(log(z))", r"log\(z\) is infinite"),
        ("sex ~ x", "categorical and the family is gaussian"),
        ("y ~ one", "the one level"),
        ("y ~ poly(z, 3)", "only 3 distinct values"),
        ("y ~ bs(z, df = 9)", "repeat too often"),
        ("y ~ bs(x, df = 2)", "fewer columns than its degree"),
        ("y ~ day", "day is a date"),
        ("y ~ empty", "no row of 6 has all variables of the model: empty is missing in 6"),
        ("y ~ inf", "inf is infinite in 1 row"),
    ],
)
def test_what_would_mislead_is_refused(design_of, formula, said):
    frame = SMALL | {
        "one": ["same"] * 6,
        "day": pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 6), eager=True),
        "empty": pl.Series([None] * 6, dtype=pl.Float64),
        "inf": [float("inf"), 1.0, 2.0, 3.0, 4.0, 5.0],
    }
    with pytest.raises(Refusal, match=said):
        design_of(frame, formula)


@pytest.mark.parametrize(
    "formula", ["y ~ log(sex)", "log(sex) ~ x", "y ~ I(sex + 1)", "y ~ poly(sex, 2)", "y ~ offset(sex)"]
)
def test_arithmetic_on_levels_is_an_error_with_a_place(design_of, formula):
    with pytest.raises(FormulaError, match="sex is categorical and cannot be calculated with"):
        design_of(SMALL, formula)


def test_two_columns_of_one_name_are_an_error(design_of):
    frame = SMALL | {"s": ["a", "ex"] * 3, "sex": [1.0, 2.0, 4.0] * 2}
    with pytest.raises(FormulaError, match="two columns of the model are called sex"):
        design_of(frame, "y ~ s + sex")


def test_a_variable_of_many_levels_is_refused_before_memory_runs_out(design_of):
    n = 20_000
    frame = {"y": np.arange(n) / n, "id": [f"p{i}" for i in range(n)]}
    with pytest.raises(Refusal, match=r"use it as a grouping factor, \(1 \| id\)"):
        design_of(frame, "y ~ id")


def test_a_constant_outcome_is_noted(design_of):
    assert design_of(with_missing(y=[2.0] * 6), "y ~ x").notes == ("The outcome is the same in every row.",)


def test_group_means_are_those_of_the_rows_analysed(design_of):
    frame = pl.DataFrame(with_missing(y=[None, *SMALL["y"][1:]])).with_columns(
        x_mean=pl.col("x").mean().over("g"), x_dev=pl.col("x") - pl.col("x").mean().over("g")
    )
    derivations = (
        Derivation(between="x", group="g", as_="x_mean"),
        Derivation(within="x", group="g", as_="x_dev"),
    )
    design = design_of(frame, "y ~ x_mean + x_dev + (1 | g)", derivations=derivations)
    mean, dev = design.X[:, 1], design.X[:, 2]
    assert mean[1] == 1.5  # b keeps one row: its own value, not the mean of all rows
    assert dev[1] == 0.0
    np.testing.assert_allclose(mean + dev, SMALL["x"][1:])
    assert sum("computed again" in note for note in design.notes) == 2
    whole = design_of(frame, "x ~ x_mean + (1 | g)".replace("x ~", "z ~"), derivations=derivations)
    assert whole.notes == ()


def test_rows_without_the_source_of_a_group_mean_are_left_out(design_of):
    frame = pl.DataFrame(with_missing(x=[None, *SMALL["x"][1:]])).with_columns(
        x_mean=pl.col("x").mean().over("g")
    )
    derivations = (Derivation(between="x", group="g", as_="x_mean"), Derivation(center="x_mean", as_="x_c"))
    frame = frame.with_columns(x_c=pl.col("x_mean") - pl.col("x_mean").mean())
    design = design_of(frame, "y ~ x_c + (1 | g)", derivations=derivations)
    assert design.row_flow.excluded == (("x is missing", 1, 0),)
    assert abs(design.X[:, 1].mean()) < 1e-12


def test_the_record_is_json_and_says_what_the_report_needs(design_of):
    design = design_of(with_missing(x=[None, *SMALL["x"][1:]]), "y ~ x + I(2 * x) + (x || g)")
    record = json.loads(json.dumps(design_record(design), allow_nan=False))
    assert record["names"] == ["(Intercept)", "x"]
    (term,) = record["random"]
    assert term["names"] == ["(Intercept)", "x"]
    assert [term[key] for key in ("group", "correlated", "n_groups")] == ["g", False, 3]
    assert [term[key] for key in ("memberships", "relation")] == [1, False]
    assert [record[key] for key in ("weights", "sampling_error", "residual")] == [False, False, None]
    assert record["row_flow"]["excluded"] == [{"reason": "x is missing", "rows": 1, "groups": 0}]
    assert record["dropped"] == ["I(2 * x)"]
    assert record["analysis_hash"] == design.analysis_hash


def test_small_and_odd_data(design_of):
    one = design_of({"y": [1.0], "g": ["a"]}, "y ~ 1 + (1 | g)")
    assert (one.n, one.n_groups, one.random[0].labels) == (1, 1, ("a",))
    odd = {"y": [1.0, 2.0, 4.0], "g": ["<b>", "a:b", "ü"], "größe": [1, 2, 4]}
    design = design_of(odd, "y ~ größe + (1 | g)")
    assert set(design.random[0].labels) == {"<b>", "a:b", "ü"}
    integers = {"y": [1, 2, 4], "x": pl.Series([1, 2, 4], dtype=pl.UInt8), "g": [7, 7, 30]}
    design = design_of(integers, "y ~ I(x - 3) + (1 | g)")
    assert design.X[:, 1].tolist() == [-2, -1, 1]
    assert design.random[0].labels == ("7", "30")


@pytest.mark.slow
@pytest.mark.parametrize(("n", "groups"), [(437_855, 125_066), (1_000_000, 10_000)])
def test_large_data_take_about_half_a_second(make_dataset, tmp_path, n, groups):
    import time

    from nestwise.config.study import Model
    from nestwise.data.dataset import Dataset
    from nestwise.design.build import build_design

    dice = np.random.default_rng(1)
    codes = np.concatenate([np.arange(groups), dice.integers(0, groups, n - groups)])
    labels = pl.Enum([f"p{i}" for i in range(groups)])
    frame = pl.DataFrame({".row": np.arange(1, n + 1), "y": dice.normal(size=n), "x": dice.normal(size=n)})
    frame = frame.with_columns(
        pl.Series("g", np.array(labels.categories.to_list())[codes]).cast(labels),
        pl.Series("a", np.array(["k", "l", "m"])[dice.integers(0, 3, n)]).cast(pl.Enum(["k", "l", "m"])),
        pl.Series("b", np.array(["u", "v"])[dice.integers(0, 2, n)]).cast(pl.Enum(["u", "v"])),
    )
    frame.write_parquet(tmp_path / "large.parquet")
    dataset = Dataset("large", pl.scan_parquet(tmp_path / "large.parquet"), {}, {})
    start = time.process_time()
    design = build_design(dataset, "m", Model(formula="y ~ x + a + b + (1 | g)"))
    assert time.process_time() - start < 5.0  # 0.45 s when nothing else runs
    assert (design.n, design.n_groups) == (n, groups)


def test_names_with_blanks_are_quoted_in_terms_and_bare_as_outcome_and_group(design_of):
    frame = {"größe in cm": SMALL["y"], "2nd": SMALL["x"], "the school": SMALL["g"]}
    design = design_of(frame, "`größe in cm` ~ `2nd` + (`2nd` | `the school`)")
    assert design.outcome == "größe in cm"
    assert design.y.tolist() == SMALL["y"]
    assert design.names == ("(Intercept)", "`2nd`")
    assert (design.random[0].group, design.random[0].names) == ("the school", ("(Intercept)", "`2nd`"))
