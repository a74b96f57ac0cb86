"""Weighted estimating equations: hand calculations, the stacked sandwich by brute force, special cases."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from nestwise.engines import fit_model
from nestwise.errors import Refusal
from nestwise.missing.plan import Plan
from nestwise.missing.weighted_rows import weighted_rows
from nestwise.missing.weights import WeightSettings
from nestwise.missing.wgee import fit_wgee

PLAN = Plan(arm="arm")
UNCUT = WeightSettings(largest=np.inf)


def fixed(fit):
    return np.array([row.estimate for row in fit.estimates if row.component == "fixed"])


def errors(fit):
    return np.array([row.std_error for row in fit.estimates if row.component == "fixed"])


def test_weights_are_those_of_a_table_of_counts(study, model):
    """A drop-out model that knows only the previous outcome, 0 or 1, is a table of shares."""
    rows = []
    # of 8 with y = 0 at the first visit 6 come back, of 4 with y = 1 only 1
    for k, (first, stays) in enumerate([(0, 1)] * 6 + [(0, 0)] * 2 + [(1, 1)] + [(1, 0)] * 3):
        rows.append({"id": f"s{k}", "t": 0.0, "y": float(first)})
        if stays:
            rows.append({"id": f"s{k}", "t": 1.0, "y": float(k % 2)})
    dataset = study(pl.DataFrame(rows).to_dict(as_series=False), {"t": "continuous", "y": "continuous"})
    plain = replace(UNCUT, stabilised=False, predictors=())
    made = weighted_rows(dataset, "m", model("y ~ t + (1 | id)"), Plan(), plain)
    first = made.planned.values("y")[:, 0]
    second = made.weights.weight[:, 1]
    assert made.weights.weight[:, 0] == pytest.approx(1.0)
    assert second[(first == 0) & made.seen[:, 1]] == pytest.approx(8 / 6)
    assert second[(first == 1) & made.seen[:, 1]] == pytest.approx(4.0)
    assert (second[~made.seen[:, 1]] == 0).all()
    stabilised = weighted_rows(dataset, "m", model("y ~ t + (1 | id)"), Plan(), replace(UNCUT, predictors=()))
    # 7 of 12 come back, whatever the outcome
    assert stabilised.weights.weight[(first == 1) & made.seen[:, 1], 1] == pytest.approx(4 * 7 / 12)
    by_subject = replace(plain, level="subject")
    whole = weighted_rows(dataset, "m", model("y ~ t + (1 | id)"), Plan(), by_subject).weights.weight
    gone = ~made.seen[:, 1]
    assert whole[(first == 0) & gone, 0] == pytest.approx(8 / 2)
    assert whole[(first == 1) & gone, 0] == pytest.approx(4 / 3)
    assert whole[(first == 1) & ~gone] == pytest.approx(4.0)


def test_large_weights_are_cut_at_so_many_times_the_mean_of_their_visit(trial, model):
    settings = WeightSettings(largest=1.5)
    cut = weighted_rows(trial(), "m", model(), PLAN, settings)
    free = weighted_rows(trial(), "m", model(), PLAN, UNCUT)
    for visit in range(4):
        own = free.seen[:, visit]
        w = free.weights.weight[own, visit]
        assert cut.weights.weight[own, visit] == pytest.approx(np.minimum(w, 1.5 * w.mean()))
    assert cut.weights.truncated.sum() > 0
    assert not cut.weights.slope[cut.weights.truncated].any()


def stacked(rows, family, level, stabilised):
    """All estimating functions of a subject as one function of all parameters; brute force, from scratch."""
    design, made = rows.design, rows.weights
    X, y = design.X, design.y
    N, T = rows.seen.shape
    p = X.shape[1]
    parts = [made.denominator] + ([made.numerator] if stabilised else [])
    sizes = [len(part.names) for part in parts]
    last = np.where(rows.seen.any(axis=1), rows.seen.sum(axis=1) - 1, -1)
    start = 0 if (last < 0).any() else 1
    steps = [(i, t) for t in range(start, T) for i in range(N) if last[i] >= t - 1]

    def functions(theta):
        beta, rest = theta[:p], theta[p:]
        total = np.zeros((N, theta.size))
        log_w = np.zeros((N, T))
        offset = 0
        for k, (part, size) in enumerate(zip(parts, sizes, strict=True)):
            q = expit(part.Z @ rest[offset : offset + size])
            for (i, t), z, chance in zip(steps, part.Z, q, strict=True):
                stayed = last[i] >= t
                total[i, p + offset : p + offset + size] += z * (stayed - chance)
                sign = -1 if k == 0 else 1
                if stayed:
                    log_w[i, t:] += sign * np.log(chance)
                elif level == "subject" and t > 0:
                    log_w[i] += sign * np.log(1 - chance)
            offset += size
        if level == "subject":
            log_w = np.repeat(log_w[np.arange(N), np.maximum(last, 0)][:, None], T, axis=1)
        eta = X @ beta
        mu = eta if family == "gaussian" else expit(eta)
        for row, (i, t) in enumerate(zip(rows.who, rows.when, strict=True)):
            total[i, :p] += np.exp(log_w[i, t]) * X[row] * (y[row] - mu[row])
        return total

    return functions, p, parts


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize("level", ["visit", "subject"])
@pytest.mark.parametrize("stabilised", [True, False])
def test_the_sandwich_is_that_of_the_stacked_equations(trial, model, family, level, stabilised):
    """Rule 18: bread and meat of all equations together, the bread by numerical derivatives."""
    dataset = trial(N=60, seed=3, family=family, missing_first=True, absent=False)
    settings = WeightSettings(level=level, stabilised=stabilised, largest=np.inf)
    asked = model(family=family, variance="LZ")
    fit = fit_wgee(dataset, "m", asked, PLAN, settings)
    rows = weighted_rows(dataset, "m", asked, PLAN, settings)
    functions, p, parts = stacked(rows, family, level, stabilised)
    theta = np.concatenate([fixed(fit), *[part.alpha for part in parts]])
    total = functions(theta)
    assert np.abs(total.sum(axis=0)).max() < 1e-6  # all equations are solved
    jacobian = np.empty((theta.size, theta.size))
    for k in range(theta.size):
        step = np.zeros(theta.size)
        step[k] = 1e-5
        jacobian[:, k] = (functions(theta + step) - functions(theta - step)).sum(axis=0) / 2e-5
    bread = np.linalg.inv(jacobian)
    expected = (bread @ (total.T @ total) @ bread.T)[:p, :p]
    assert np.array(fit.record["covariance"]) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize(("level", "correlation"), [("visit", "independence"), ("subject", "exchangeable")])
def test_without_drop_out_it_is_the_unweighted_fit(trial, model, family, level, correlation):
    dataset = trial(N=40, leave=-100.0, family=family) if family == "binomial" else trial(N=40, leave=0.0)
    frame = dataset.frame.collect()
    whole = frame.filter(pl.len().over("id") == 4).lazy()
    dataset = replace(dataset, frame=whole)
    asked = model(family=family, correlation=correlation)
    weighted = fit_wgee(dataset, "m", asked, PLAN, WeightSettings(level=level))
    plain = fit_model(dataset, "m", asked, "gee")
    assert fixed(weighted) == pytest.approx(fixed(plain), rel=1e-10)
    assert errors(weighted) == pytest.approx(errors(plain), rel=1e-10)
    assert "all weights are one" in " ".join(weighted.warnings)


def test_weights_by_visit_take_independence_and_say_so(trial, model):
    fit = fit_wgee(trial(), "m", model(correlation="exchangeable"), PLAN)
    assert fit.method.startswith("independence, weights by visit")
    assert any("exchangeable was set aside" in warning for warning in fit.warnings)
    assert fixed(fit) == pytest.approx(fixed(fit_wgee(trial(), "m", model(), PLAN)))


def test_absent_rows_and_empty_rows_are_the_same_gap(trial, model):
    absent, empty = (fit_wgee(trial(absent=a), "m", model(), PLAN) for a in (True, False))
    assert fixed(absent) == pytest.approx(fixed(empty), rel=1e-10)
    assert errors(absent) == pytest.approx(errors(empty), rel=1e-8)


def test_the_order_of_the_rows_does_not_matter(trial, model):
    dataset = trial()
    shuffled = replace(
        dataset, frame=dataset.frame.collect().sample(fraction=1.0, shuffle=True, seed=1).lazy()
    )
    one, other = (fit_wgee(each, "m", model(), PLAN) for each in (dataset, shuffled))
    assert fixed(one) == pytest.approx(fixed(other), rel=1e-9)
    assert errors(one) == pytest.approx(errors(other), rel=1e-9)


def test_few_clusters_get_the_correction_and_t_tests(trial, model):
    fit = fit_wgee(trial(N=40), "m", model(), PLAN)
    lz = fit_wgee(trial(N=40), "m", model(variance="LZ"), PLAN)
    assert fit.method.endswith("KC")
    assert (errors(fit) > errors(lz)).all()
    assert {row.df for row in fit.estimates if row.component == "fixed"} == {40.0 - 5}


def test_intermittent_gaps_are_refused_with_a_way_out_or_cut(trial, model):
    dataset = trial()
    frame = dataset.frame.collect()
    gap = (pl.col("id").cast(pl.String) == frame.filter(pl.len().over("id") == 4)["id"][0]) & (
        pl.col("t") == 1
    )
    dataset = replace(dataset, frame=frame.filter(~gap).lazy())
    with pytest.raises(Refusal, match=r"1 id missed a visit and came back.*impute those gaps first"):
        fit_wgee(dataset, "m", model(), PLAN)
    cut = fit_wgee(dataset, "m", model(), PLAN, WeightSettings(gaps="cut"))
    assert cut.n_obs == frame.height - 3
    assert any("2 rows after a first gap left out" in warning for warning in cut.warnings)


def test_a_predictor_that_tells_who_leaves_is_refused_by_name(trial, model):
    dataset = trial(absent=False)
    frame = dataset.frame.collect()
    leaves = pl.col("y").is_null().any().over("id").cast(pl.Float64).alias("oracle")
    dataset = replace(dataset, frame=frame.with_columns(leaves).lazy())
    with pytest.raises(Refusal, match=r"oracle tells without error who leaves"):
        fit_wgee(dataset, "m", model(), PLAN, WeightSettings(predictors=("oracle",)))
    with pytest.raises(Refusal, match="no column nobody"):
        fit_wgee(dataset, "m", model(), PLAN, WeightSettings(predictors=("nobody",)))


def test_missing_predictors_are_refused_by_name(trial, model):
    dataset = trial()
    frame = dataset.frame.collect()
    holed = (
        pl.when(pl.col("id").cast(pl.String) != "s3").then(pl.lit(1.0) * pl.col("t").hash() % 7).alias("z")
    )
    dataset = replace(dataset, frame=frame.with_columns(holed).lazy())
    with pytest.raises(Refusal, match=r"z is missing before"):
        fit_wgee(dataset, "m", model(), PLAN, WeightSettings(predictors=("z",)))


def test_a_missing_arm_is_called_by_its_name(trial, model):
    dataset = trial()
    unknown = pl.when(pl.col("id").cast(pl.String) != "s3").then("arm")
    with pytest.raises(Refusal, match=r"arm is missing before \d visits? that"):
        fit_wgee(replace(dataset, frame=dataset.frame.with_columns(arm=unknown)), "m", model(), PLAN)


def test_few_who_left_are_said(trial, model):
    said = " ".join(fit_wgee(trial(N=30), "m", model(), PLAN).warnings)
    assert "few for the 6 terms of the drop-out model" in said


def test_subjects_inside_clusters_are_summed(trial, model):
    """Twelve sites: what the drop-out model adds is summed within them like the scores."""
    dataset = trial(N=120)
    number = pl.col("id").cast(pl.String).str.slice(1).cast(pl.Int64) % 12
    site = pl.concat_str([pl.lit("c"), number.cast(pl.String)]).cast(pl.Enum([f"c{k}" for k in range(12)]))
    dataset = replace(
        dataset, frame=dataset.frame.with_columns(site=site), within={"site": None, "id": "site"}
    )
    fit = fit_wgee(dataset, "m", model("y ~ x + arm * t + (1 | site)", variance="LZ"), PLAN, UNCUT)
    rows = weighted_rows(dataset, "m", model("y ~ x + arm * t + (1 | site)"), PLAN, UNCUT)
    functions, p, parts = stacked(rows, "gaussian", "visit", stabilised=True)
    theta = np.concatenate([fixed(fit), *[part.alpha for part in parts]])
    jacobian = np.empty((theta.size, theta.size))
    for k, step in enumerate(1e-5 * np.eye(theta.size)):
        jacobian[:, k] = (functions(theta + step) - functions(theta - step)).sum(axis=0) / 2e-5
    sums = np.zeros((12, theta.size))
    np.add.at(sums, rows.cluster, functions(theta))
    bread = np.linalg.inv(jacobian)
    expected = (bread @ (sums.T @ sums) @ bread.T)[:p, :p]
    assert fit.n_groups == 12
    assert np.array(fit.record["covariance"]) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_model_based_errors_are_refused(trial, model):
    with pytest.raises(Refusal, match="know nothing of the weights"):
        fit_wgee(trial(), "m", model(variance="model"), PLAN)


def test_diagnostics_speak_of_the_weights(trial, model):
    fit = fit_wgee(trial(N=400), "m", model(), PLAN)
    table = fit.record["weights"]["by_visit"]
    assert [row["visit"] for row in table] == ["0", "1", "2", "3", "all"]
    made = weighted_rows(trial(N=400), "m", model(), PLAN, WeightSettings())
    w = made.weights.weight[made.seen]
    assert table[-1]["effective"] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert table[0]["mean"] == 1.0
    assert table[-1]["mean"] == pytest.approx(1.0, abs=0.05)
    assert {check.check for check in fit.checks} == {"weights_effective", "weights_truncated", "weights_mean"}
    assert fit.strategy == "wgee"
    slope = dict(
        zip(
            fit.record["weights"]["denominator"]["terms"],
            fit.record["weights"]["denominator"]["log_odds_of_staying"],
            strict=True,
        )
    )
    assert slope["previous outcome"] == pytest.approx(-0.8, abs=0.25)
