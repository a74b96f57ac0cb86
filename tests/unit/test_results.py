import math

import polars as pl
import pytest

from nestwise.results import TABLES, Check, Estimate, Fit, Status, conform, gather, load_record, save_fit
from nestwise.seeds import seed_for
from nestwise.tables import save_tables, stack
from nestwise.vocabulary import ESTIMATES, FITS, GROUPS

CONTRACT = [
    "study", "model", "engine", "method", "strategy", "target", "component", "group", "term", "estimate",
    "std_error", "df", "statistic", "p_value", "lower", "upper", "level", "scale", "n_obs", "n_groups",
    "status",
]  # fmt: skip


def _fit(**changes):
    basic = {
        "study": "s", "model": "m", "engine": "lmm", "method": "REML", "status": Status.OK,
        "formula": "y ~ 1", "analysis_hash": "h", "n_obs": 10, "n_groups": 3,
    }  # fmt: skip
    return Fit(**(basic | changes))


def test_the_columns_are_those_of_the_contract():
    assert list(ESTIMATES) == CONTRACT
    assert {"log_likelihood", "aic", "bic", "converged", "singular", "seconds", "warnings"} <= set(FITS)


def test_nan_is_never_an_answer():
    frame = pl.DataFrame({"estimate": [math.nan, 1.0], "std_error": [None, math.nan]})
    assert conform(frame, ESTIMATES)["estimate"].to_list() == [None, 1.0]
    assert conform(frame, ESTIMATES)["std_error"].to_list() == [None, None]


def test_a_column_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="vocabulary"):
        conform(pl.DataFrame({"estimat": [1.0]}), ESTIMATES)


def test_a_fit_is_saved_and_stacked(tmp_path):
    fits = [
        _fit(
            estimates=(
                Estimate("fixed", "(Intercept)", 1.0, std_error=0.5),
                Estimate("sd", "x", 2.0, group="g"),
            ),
            checks=(Check("gradient", 1e-9, 1e-5, True, "Fine."),),
            groups=pl.DataFrame({"group": ["g"], "label": ["1"], "term": ["x"], "n": [3]}),
            warnings=("a", "b"),
            record={"optimisation": {"evaluations": 3}},
        ),
        _fit(engine="glmm", status=Status.REFUSED, reason="Not yet."),
    ]
    folders = [tmp_path / fit.engine for fit in fits]
    for fit, folder in zip(fits, folders, strict=True):
        save_fit(fit, folder)
    assert gather(folders, "estimates")["term"].to_list() == ["(Intercept)", "x"]
    assert gather(folders, "fits")["status"].to_list() == ["ok", "refused"]
    assert gather(folders, "fits")["warnings"].to_list() == ["a b", None]
    assert gather(folders, "groups").schema == dict(GROUPS)
    assert gather(folders, "groups")["engine"].to_list() == ["lmm"]
    assert gather(folders, "checks")["advice"].to_list() == ["Fine."]
    assert load_record(folders[0]) == {"optimisation": {"evaluations": 3}}
    model = gather(folders, "fits")["model"][0]
    tables = stack(folders, {model: {"wgee": "Add the engine gee."}})
    refused = tables.fits.filter(strategy="wgee")
    assert refused["status"].unique().to_list() == ["refused"]
    assert refused["reason"].unique().to_list() == ["Add the engine gee."]
    assert tables.estimates.height == 2
    names = ("estimates", "fits", "groups", "tests", "means", "influence", "profiles")
    save_tables(tables, **{name: str(tmp_path / f"{name}.parquet") for name in names})
    assert all(pl.read_parquet(tmp_path / f"{name}.parquet").schema == dict(TABLES[name]) for name in names)


def test_seeds_are_keyed_on_names_and_stay_as_they_are():
    assert seed_for(1, "radon", "m", "pymc") == seed_for(1, "radon", "m", "pymc")
    seeds = {
        seed_for(1, "a", "b"),
        seed_for(1, "ab"),
        seed_for(1, "b", "a"),
        seed_for(2, "a", "b"),
        seed_for(1, "a", 1),
    }
    assert len(seeds) == 5
    assert (
        seed_for(0) == 3456079177858693020
    )  # sha256("0") >> 1; a change would silently change every posterior
    assert all(0 <= seed < 2**63 for seed in seeds)
