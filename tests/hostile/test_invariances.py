"""Changes that must not change an answer, or must change it in a known way."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.engines import fit_model

ENGINES = ("pooled", "unpooled", "lmm", "mixedlm")
FORMULA = "y ~ x + c + (x | g)"


def table(seed=3, groups=9):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 12, groups)
    codes = np.repeat(np.arange(groups), sizes)
    n = codes.size
    x = rng.normal(size=n)
    effects = rng.normal(size=(groups, 2)) * [1.5, 0.8]
    y = 4 + x + effects[codes, 0] + effects[codes, 1] * x + rng.normal(size=n)
    return {"g": [f"g{k}" for k in codes], "x": x, "c": np.where(rng.random(n) < 0.4, "u", "v"), "y": y}


def fitted(columns, engine, formula=FORMULA, within=None, reml=True):
    """A fit straight from columns, by way of a Dataset."""
    import polars as pl

    from nestwise.config.study import Model
    from nestwise.data.dataset import ROW, Dataset, VariableInfo

    frame = pl.DataFrame({name: np.asarray(values) for name, values in columns.items()})
    kinds = {"y": "continuous", "x": "continuous", "c": "categorical", "g": "categorical"}
    casts = [
        pl.col(name).cast(pl.Enum(sorted(frame[name].unique().to_list())))
        for name, kind in kinds.items()
        if kind == "categorical"
    ]
    lazy = frame.with_columns(*casts).with_row_index(ROW, offset=1).lazy()
    levels = {name: tuple(sorted(frame[name].unique().to_list())) for name in ("c", "g")}
    variables = {name: VariableInfo(name, kind, True, levels.get(name, ())) for name, kind in kinds.items()}
    dataset = Dataset("s", lazy, variables, {"g": None})
    fit = fit_model(dataset, "m", Model(formula=formula, reml=reml), engine)
    assert str(fit.status) in ("ok", "singular"), fit.reason
    return fit


def numbers(fit):
    """Estimates by key, with their standard errors."""
    return {
        (r.component, r.term): (r.estimate, r.std_error) for r in fit.estimates if r.component != "derived"
    }


def close(one, other, tolerance=1e-5):
    assert one.keys() == other.keys()
    for key, pair in one.items():
        for a, b in zip(pair, other[key], strict=True):
            if a is None or b is None:
                assert a is b, key
            else:
                assert abs(a - b) <= tolerance * max(abs(a), abs(b), 0.1), f"{key}: {a} and {b}"


@pytest.mark.parametrize("engine", ENGINES)
def test_order_of_rows_does_not_matter(engine):
    columns = table()
    order = np.random.default_rng(1).permutation(len(columns["y"]))
    shuffled = {name: np.asarray(values)[order] for name, values in columns.items()}
    one, other = fitted(columns, engine), fitted(shuffled, engine)
    close(numbers(one), numbers(other))
    by_label = ["label", "term"]
    a, b = one.groups.sort(by_label), other.groups.sort(by_label)
    assert a["label"].to_list() == b["label"].to_list()
    same = np.allclose(a["no_pooling"].to_numpy(), b["no_pooling"].to_numpy(), rtol=1e-8, equal_nan=True)
    assert same


@pytest.mark.parametrize("engine", ENGINES)
def test_names_of_groups_do_not_matter(engine):
    columns = table()
    renamed = columns | {"g": [f"group {9 - int(label[1:])}" for label in columns["g"]]}
    close(numbers(fitted(columns, engine)), numbers(fitted(renamed, engine)))


@pytest.mark.parametrize("factor", [1e-9, 1e-3, 1e3, 1e9])
@pytest.mark.parametrize("engine", ENGINES)
def test_units_of_the_outcome_only_rescale(engine, factor):
    """Rule 5: nothing is judged in the outcome's units."""
    columns = table()
    plain, scaled = fitted(columns, engine), fitted(columns | {"y": columns["y"] * factor}, engine)
    assert plain.status == scaled.status
    rescaled = {
        key: tuple(v if v is None or key[0] == "cor" else v / factor for v in pair)
        for key, pair in numbers(scaled).items()
    }
    close(numbers(plain), rescaled)
    if plain.log_likelihood is not None:
        free = len(columns["y"]) - (3 if engine in ("lmm", "mixedlm") else 0)
        assert abs(plain.log_likelihood - scaled.log_likelihood - free * np.log(factor)) < 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_units_of_a_predictor_only_rescale(engine):
    """Metres or millimetres: the slope and its SD change by the factor, nothing else does."""
    columns = table()
    plain = numbers(fitted(columns, engine))
    scaled = numbers(fitted(columns | {"x": columns["x"] * 1000}, engine))
    rescaled = {
        k: tuple(v * 1000 if k[1] == "x" and v is not None else v for v in p) for k, p in scaled.items()
    }
    close(plain, rescaled, 1e-4)


@pytest.mark.parametrize("engine", ["lmm", "mixedlm"])
def test_shift_of_a_predictor_moves_intercepts_only(engine):
    """A year counted from 0 or from 2000: slope, its SD, sigma and likelihood stay."""
    columns = table()
    plain, moved = fitted(columns, engine), fitted(columns | {"x": columns["x"] + 20}, engine)
    a, b = numbers(plain), numbers(moved)
    for key in (("fixed", "x"), ("sd", "x"), ("residual", "sigma")):
        assert abs(a[key][0] - b[key][0]) < 2e-4 * abs(a[key][0])
    assert abs(plain.log_likelihood - moved.log_likelihood) < 1e-4


@pytest.mark.parametrize("year", [2020, 1e5])
def test_time_far_from_its_origin(year):
    """Calendar years as time: the search must not stop where intercept and slope are all but collinear."""
    columns = table()
    plain, far = fitted(columns, "lmm"), fitted(columns | {"x": columns["x"] + year}, "lmm")
    assert abs(plain.log_likelihood - far.log_likelihood) < 1e-3
    assert abs(numbers(plain)["sd", "x"][0] - numbers(far)["sd", "x"][0]) < 1e-3


def test_shift_of_the_outcome_moves_the_intercept_only():
    columns = table()
    a, b = numbers(fitted(columns, "lmm")), numbers(fitted(columns | {"y": columns["y"] + 1e6}, "lmm"))
    assert abs(b["fixed", "(Intercept)"][0] - a["fixed", "(Intercept)"][0] - 1e6) < 1e-3
    for key in (("fixed", "x"), ("sd", "(Intercept)"), ("residual", "sigma")):
        assert abs(a[key][0] - b[key][0]) < 1e-4 * abs(a[key][0])


def test_doubling_the_data_halves_the_variances_of_no_pooling():
    """Every row twice: the same lines, standard errors smaller by the degrees of freedom."""
    columns = table()
    twice = {name: np.concatenate([values, values]) for name, values in columns.items()}
    one, other = fitted(columns, "pooled"), fitted(twice, "pooled")
    for row, again in zip(one.estimates, other.estimates, strict=True):
        if row.component == "fixed":
            assert abs(row.estimate - again.estimate) < 1e-9
            assert abs(row.std_error - again.std_error) < 1e-6 * row.std_error  # clusters are what counts


def test_pooling_limits():
    """tau to infinity is no pooling, tau to 0 complete pooling (concepts.md, 2)."""
    columns = table(groups=12)
    codes = np.array([int(label[1:]) for label in columns["g"]])
    rng = np.random.default_rng(8)
    noise = rng.normal(size=codes.size)
    noise -= (np.bincount(codes, noise) / np.bincount(codes))[codes]
    apart = fitted(columns | {"y": 1000.0 * codes + noise}, "lmm", "y ~ 1 + (1 | g)").groups
    assert (apart["pooling_factor"] > 0.9999).all()
    assert np.allclose(apart["partial_pooling"], apart["no_pooling"], rtol=1e-4, atol=0.1)
    together = fitted(columns | {"y": noise}, "lmm", "y ~ 1 + (1 | g)")
    assert str(together.status) == "singular"
    assert np.allclose(together.groups["pooling_factor"], 0)
    assert np.allclose(together.groups["partial_pooling"], together.groups["complete_pooling"], atol=1e-8)


def test_hash_follows_the_rows_not_the_model():
    """Rule 3: models on the same rows can be compared, models on others cannot."""
    columns = table()
    one = fitted(columns, "lmm", "y ~ x + (1 | g)")
    assert one.analysis_hash == fitted(columns, "pooled", "y ~ c + (1 | g)").analysis_hash
    fewer = {name: values[1:] for name, values in columns.items()}
    assert one.analysis_hash != fitted(fewer, "lmm", "y ~ x + (1 | g)").analysis_hash
    changed = columns | {"y": columns["y"] + np.eye(len(columns["y"]))[0]}
    assert one.analysis_hash != fitted(changed, "lmm", "y ~ x + (1 | g)").analysis_hash
