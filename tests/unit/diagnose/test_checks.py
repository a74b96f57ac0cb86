import numpy as np
import polars as pl
import pytest
from scipy import stats

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.design.description import design_record
from nestwise.diagnose.checks import contextual_checks, diagnose, inward_checks, singular_checks
from nestwise.diagnose.contextual import contextual_check
from nestwise.diagnose.random_effects import effect_checks, size_checks
from nestwise.diagnose.residuals import levene, residual_checks
from nestwise.diagnose.saved import diagnose_saved
from nestwise.engines import fit_model
from nestwise.results import Fit, Status, conform, empty, save_fit
from nestwise.storage import write_json
from nestwise.vocabulary import CHECKS, ESTIMATES, GROUPS


def named(checks):
    return {check.check: check for check in checks}


def table_of(residual, fitted=None):
    residual = np.asarray(residual, dtype=float)
    fitted = np.linspace(0, 10, residual.size) if fitted is None else fitted
    return pl.DataFrame(
        {
            "row": np.arange(1, residual.size + 1),
            "observed": fitted + residual,
            "fixed": fitted,
            "fitted": fitted,
            "residual": residual,
        }
    )


def test_well_behaved_residuals_pass():
    checks = residual_checks(table_of(np.random.default_rng(1).normal(size=400)))
    assert [check.check for check in checks] == [
        "residual_outliers", "residual_shape", "residual_spread_by_fitted",
    ]  # fmt: skip
    assert all(check.ok for check in checks)


def test_an_outlier_is_named_by_its_row():
    residual = np.random.default_rng(1).normal(size=400)
    residual[16] = 12.0
    check = named(residual_checks(table_of(residual)))["residual_outliers"]
    assert not check.ok
    assert check.value > check.limit == 4
    assert "source row 17" in check.advice


def test_skewness_and_heavy_tails_are_told():
    generator = np.random.default_rng(2)
    skewed = named(residual_checks(table_of(generator.exponential(size=500) - 1)))["residual_shape"]
    assert not skewed.ok
    assert "skewed to the right" in skewed.advice
    heavy = named(residual_checks(table_of(generator.standard_t(2, 2000))))["residual_shape"]
    assert not heavy.ok


def test_growing_spread_is_told():
    grid = np.linspace(0.2, 5, 400)
    residual = np.random.default_rng(3).normal(size=400) * grid
    check = named(residual_checks(table_of(residual)))["residual_spread_by_fitted"]
    assert not check.ok
    assert "grows with the fitted values" in check.advice


def test_groups_of_unequal_spread_are_named():
    labels = pl.Series(np.repeat(["calm", "wild"], 100))
    residual = np.random.default_rng(4).normal(size=200) * np.repeat([0.5, 3], 100)
    checks = named(residual_checks(table_of(residual), labels))
    check = checks["residual_spread_by_group"]
    assert not check.ok
    assert "calm" in check.advice
    assert "wild" in check.advice


def test_levene_is_that_of_scipy():
    generator = np.random.default_rng(5)
    groups = generator.integers(0, 6, 200).astype(float)
    values = generator.normal(size=200) * (1 + groups)
    expected = stats.levene(*(values[groups == k] for k in range(6)), center="median").pvalue
    assert levene(values, groups) == pytest.approx(expected, rel=1e-9)
    assert levene(values, np.zeros(200)) is None


@pytest.mark.parametrize("table", [table_of([]), table_of([1.0] * 5), table_of([0.0] * 50)])
def test_nothing_to_judge(table):
    assert residual_checks(table) == ()


@pytest.mark.parametrize(
    ("count", "ok", "words"),
    [(5, False, "Only 5 groups"), (20, False, "fewer than 40"), (60, True, "enough")],
)
def test_few_groups_raise_an_alarm(count, ok, words):
    """Rule 12."""
    sizes = pl.DataFrame({"label": [str(k) for k in range(count)], "n": [3] * count})
    check = named(size_checks(sizes, "g"))["number_of_groups"]
    assert check.ok is ok
    assert words in check.advice


def test_singletons_and_imbalance():
    sizes = pl.DataFrame({"label": [str(k) for k in range(50)], "n": [1] * 40 + [100] * 10})
    checks = named(size_checks(sizes, "g"))
    assert checks["singletons"].value == pytest.approx(0.8)
    assert not checks["singletons"].ok
    assert checks["group_size_balance"].value == pytest.approx(1040**2 / (50 * 100_040))
    assert size_checks(sizes.head(0), "g") == ()


def effects(values, error=0.3):
    return conform(
        pl.DataFrame(
            {
                "group": "g",
                "label": [f"g{k}" for k in range(len(values))],
                "term": "(Intercept)",
                "n": 5,
                "random_effect": values,
                "random_effect_se": error,
                "pooling_factor": 1 - error**2,
            }
        ),
        GROUPS,
    )


def test_an_outlying_group_is_named():
    values = np.random.default_rng(1).normal(0, np.sqrt(1 - 0.09), 50)
    (calm,) = effect_checks(effects(values), {"(Intercept)": 1.0})
    assert calm.ok
    assert calm.limit == pytest.approx(stats.norm.isf(0.01 / 100))
    values[7] = 6.0
    (check,) = effect_checks(effects(values), {"(Intercept)": 1.0})
    assert not check.ok
    assert "g7 lies farther out in the intercept" in check.advice


def test_the_width_of_a_posterior_makes_no_group_outlying():
    """A posterior SD holds the uncertainty of tau, the pooling factor does not."""
    values = np.random.default_rng(1).normal(0, np.sqrt(1 - 0.09), 50)
    wide = effects(values).with_columns(random_effect_se=pl.lit(0.99))
    assert effect_checks(wide, {"(Intercept)": 1.0}) == effect_checks(effects(values), {"(Intercept)": 1.0})


@pytest.mark.parametrize("tau", [0.0, None])
def test_no_spread_no_outlying_group(tau):
    assert effect_checks(effects(np.zeros(50)), {"(Intercept)": tau}) == ()


def test_a_singular_fit_is_a_result_with_a_way_out():
    """Rule 5."""
    (check,) = singular_checks({"singular": True, "engine": "lmm"})
    assert not check.ok
    assert "||" in check.advice
    assert singular_checks({"singular": False, "engine": "lmm"})[0].ok
    assert singular_checks({"singular": None, "engine": "pooled"}) == ()


def test_partial_pooling_moves_inward():
    own = np.linspace(-3, 3, 20)
    rows = effects(0.5 * own).with_columns(
        pl.Series("no_pooling", 10 + own), pl.Series("partial_pooling", 10 + 0.5 * own)
    )
    (check,) = inward_checks(rows)
    assert check.ok
    outward = rows.with_columns(
        (pl.col("random_effect") * 3).alias("random_effect"),
        (10 + pl.col("random_effect") * 3).alias("partial_pooling"),
    )
    assert not inward_checks(outward)[0].ok
    assert inward_checks(empty(GROUPS)) == ()


def mixed_up(contextual, groups=60, size=10, seed=1):
    generator = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), size)
    centre = generator.normal(size=groups)
    x = centre[codes] + generator.normal(size=codes.size)
    means = np.bincount(codes, x) / size
    y = x + contextual * means[codes] + generator.normal(0, 0.5, groups)[codes]
    return x, codes.astype(float), y + generator.normal(size=codes.size)


def test_a_contextual_effect_is_found_with_its_size():
    """Rule 11."""
    x, codes, y = mixed_up(1.0)
    check = contextual_check(x, codes, y, tau=0.5, sigma=1.0, name="x")
    assert not check.ok
    assert "mixes two effects" in check.advice


def test_the_contextual_test_keeps_its_level():
    values = [
        contextual_check(*mixed_up(0.0, seed=seed), tau=0.5, sigma=1.0, name="x").value for seed in range(300)
    ]
    # uniform if the standard error is right; 0.105 is the 0.1% point of Kolmogorov-Smirnov's D for n = 300
    assert stats.kstest(values, "uniform").statistic < 0.113


def test_what_does_not_vary_is_not_tested():
    x, codes, y = mixed_up(0.0)
    inside = x - (np.bincount(codes.astype(int), x) / 10)[codes.astype(int)]
    assert contextual_check(inside, codes, y, tau=0.5, sigma=1.0, name="x") is None
    assert contextual_check(np.ones(600), codes, y, tau=0.5, sigma=1.0, name="x") is None


@pytest.fixture(scope="module")
def dataset():
    x, codes, y = mixed_up(1.0)
    frame = pl.DataFrame({".row": np.arange(1, 601), "g": [f"g{k:.0f}" for k in codes], "x": x, "y": y})
    labels = sorted(set(frame["g"]))
    return Dataset("s", frame.with_columns(pl.col("g").cast(pl.Enum(labels))).lazy(), {}, {"g": None})


def fitted(dataset, folder, formula="y ~ x + (1 | g)", engine="lmm"):
    model = Model(formula=formula, engines=(engine,))
    save_fit(fit_model(dataset, "m", model, engine), folder)
    return design_record(build_design(dataset, "m", model))


def test_a_saved_fit_is_judged(dataset, tmp_path):
    design = fitted(dataset, tmp_path / "m.lmm")
    checks = named(diagnose(tmp_path / "m.lmm", design, dataset))
    assert {
        "singular", "residual_outliers", "residual_spread_by_group", "number_of_groups", "shrinks_inward",
        "outlying_groups:(Intercept)", "contextual_effect:x",
    } <= set(checks)  # fmt: skip
    assert not checks["contextual_effect:x"].ok
    without = named(diagnose(tmp_path / "m.lmm", design))
    assert "contextual_effect:x" not in without
    assert "number_of_groups" in without


def test_a_group_mean_beside_it_settles_the_matter(dataset, tmp_path):
    mean = dataset.frame.with_columns(pl.col("x").mean().over("g").alias("x_mean"))
    with_mean = Dataset("s", mean, {}, {"g": None})
    design = fitted(with_mean, tmp_path / "m.lmm", "y ~ x + x_mean + (1 | g)")
    assert "contextual_effect:x" not in named(diagnose(tmp_path / "m.lmm", design, with_mean))


def test_change_over_time_is_no_between_question(dataset, tmp_path):
    timed = Dataset("s", dataset.frame, {}, {"g": None}, time="x")
    design = fitted(timed, tmp_path / "m.lmm")
    assert "contextual_effect:x" not in named(diagnose(tmp_path / "m.lmm", design, timed))


def test_residuals_of_counts_are_not_held_against_one_normal_spread(dataset, tmp_path):
    design = fitted(dataset, tmp_path / "m.lmm")
    checks = named(diagnose(tmp_path / "m.lmm", dict(design) | {"family": "binomial"}, dataset))
    assert not any(name.startswith("residual_") for name in checks)
    assert "outlying_groups:(Intercept)" in checks


def refused():
    return Fit("s", "m", "lmm", "", Status.REFUSED, "y ~ x + (1 | g)", "", 0, 0, reason="No.")


def test_a_refused_fit_has_no_verdicts(tmp_path):
    save_fit(refused(), tmp_path / "m.lmm")
    assert diagnose(tmp_path / "m.lmm", {}) == ()
    assert contextual_checks(pl.DataFrame(), {}, empty(ESTIMATES), "g", None) == ()


def test_verdicts_are_stacked_once_a_model(dataset, tmp_path):
    design = fitted(dataset, tmp_path / "m.lmm")
    fitted(dataset, tmp_path / "m.mixedlm", engine="mixedlm")
    write_json(tmp_path / "design.json", design)
    table = diagnose_saved([tmp_path / "m.lmm", tmp_path / "m.mixedlm"], [tmp_path / "design.json"], dataset)
    assert table.columns == list(CHECKS)
    assert "residual_shape" in table.filter(engine="lmm")["check"].to_list()
    assert "residual_shape" not in table.filter(engine="mixedlm")["check"].to_list()
