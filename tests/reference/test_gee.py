"""Population-averaged models against geepack, and its estimates' covariances from their definitions in R.

Tolerances, and why (rule 16):

- geepack's phi and alpha have the denominators used here, so that all of it agrees to where geepack's own
  iterations stop: coefficients 1e-6 of the standard error, alpha and phi 1e-6, independence 1e-8. Other
  programs subtract the number of coefficients: 1e-2 on alpha, 1e-3 on coefficients is all one may expect;
- AR(1): geepack solves the same equations with less care: 1e-4 of the standard error, alpha 1e-4;
- standard errors 1e-5 relative, as they follow from estimates that differ by that much;
- a binomial of several trials: geepack divides phi by the sum of the trials, here it is the mean square of
  the Pearson residuals of the rows, as in SAS, so that 1 means binomial variation.
"""

import importlib.util
import json
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.fit.gee import fit_gee

HERE = Path(__file__).parent
SAID = json.loads((HERE / "gee" / "expected.json").read_text())
IMPOSSIBLE = ("sitka", 3)
"""An unstructured correlation that is not positive definite: geepack goes on with it."""
FITS = [(name, place) for name, said in SAID["sets"].items() for place in range(len(said["fits"]))]
FITS.remove(IMPOSSIBLE)
IDS = [f"{name}-{SAID['sets'][name]['fits'][place]['structure']}" for name, place in FITS]
KINDS = ("LZ", "KC", "MD", "FG", "MBN", "model")


@cache
def frame_of(package, dataset):
    if package is None:
        content = (HERE / dataset / "data.csv").read_bytes()
    else:
        spec = importlib.util.spec_from_file_location("make_data", HERE / "make_data.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        content = module.csv_bytes(package, dataset)
    frame = pl.read_csv(BytesIO(content), null_values="NA", infer_schema_length=None)
    if dataset == "respiratory":
        frame = frame.with_columns(patient=pl.format("{} {}", "center", "id"))
    if dataset == "sitka89":
        frame = frame.with_columns(wave=pl.col("time").rank("dense"))
    if dataset == "guImmun":
        frame = frame.with_columns(done=pl.col("immun").cast(pl.String).is_in(["Y", "1"]).cast(pl.Float64))
    return frame.with_row_index(".row")


def dataset_of(said):
    frame = frame_of(said["package"], said["dataset"])
    groups = [said["cluster"]] + (["mom"] if "mom" in said["formula"] else [])
    frame = frame.with_columns(pl.col(groups).cast(pl.String).cast(pl.Categorical))
    if said["dataset"] == "cbpp":
        frame = frame.with_columns(pl.col("period").cast(pl.String).cast(pl.Enum(["1", "2", "3", "4"])))
    variables = {}
    for name, dtype in frame.schema.items():
        levels = ()
        if name not in groups and dtype in (pl.String, pl.Enum):
            levels = tuple(sorted(frame[name].cast(pl.String).unique().to_list()))
            frame = frame.with_columns(pl.col(name).cast(pl.String).cast(pl.Enum(levels)))
        variables[name] = VariableInfo(name, "categorical" if levels else "continuous", True, levels)
    return Dataset("s", frame.lazy(), variables, dict.fromkeys(groups), time=said.get("time"))


@cache
def fits(name, place, variance=None):
    said = SAID["sets"][name]
    fit = said["fits"][place]
    keys = {key: said[key] for key in ("formula", "family", "link")}
    model = Model(**keys, engines=["gee"], correlation=fit["structure"])
    design = build_design(dataset_of(said), "m", model)
    return fit, fit_gee(design, fit["structure"], variance=variance)


def phi_of(name, said):
    """The dispersion of the fit by the denominator used here."""
    trials = frame_of("lme4", "cbpp")["size"].mean() if name == "cbpp" else 1.0
    return said["phi"] * trials


def column(fit, component, what="estimate", scale=None):
    rows = [row for row in fit.estimates if row.component == component and scale in (None, row.scale)]
    return np.array([getattr(row, what) for row in rows], float)


@pytest.mark.parametrize(("name", "place"), FITS, ids=IDS)
def test_coefficients_and_working_correlation_are_geepacks(name, place):
    said, fit = fits(name, place)
    structure = said["structure"]
    error = np.array(said["std_error"])
    tolerance = {"independence": 1e-8, "ar1": 1e-4}.get(structure, 1e-6)
    beta = np.array(list(said["beta"].values()))
    assert fit.converged
    assert np.abs(column(fit, "fixed") - beta).max() < tolerance * error.min() + tolerance * 1e-2
    assert column(fit, "residual", scale="dispersion") == pytest.approx(
        [phi_of(name, said)], rel=max(tolerance, 1e-8)
    )
    alpha = said["alpha"] if isinstance(said["alpha"], list) else [said["alpha"]]
    assert column(fit, "residual", scale="correlation") == pytest.approx(
        np.array(alpha, float), abs=tolerance
    )


@pytest.mark.parametrize(("name", "place"), FITS, ids=IDS)
def test_the_robust_errors_are_geepacks(name, place):
    said, fit = fits(name, place, "LZ")
    tolerance = 1e-4 if said["structure"] == "ar1" else 1e-5
    assert column(fit, "fixed", "std_error") == pytest.approx(np.array(said["std_error"]), rel=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "place"), FITS, ids=IDS)
def test_small_sample_covariances_follow_their_definitions(name, place, kind):
    """Rule 15."""
    said, fit = fits(name, place)
    tolerance = 2e-4 if said["structure"] == "ar1" else 1e-5
    known = np.array(said["small_sample"][kind])
    if kind == "model":
        known = known * np.sqrt(phi_of(name, said) / said["phi"])
    assert np.array(fit.record["variance"]["standard_errors"][kind]) == pytest.approx(known, rel=tolerance)


def with_cic(name, place):
    """Whether geepack has computed a CIC, and a fit with independence stands first."""
    stored = SAID["sets"][name]["fits"]
    return stored[place]["cic"] is not None and stored[0]["structure"] == "independence"


@pytest.mark.parametrize(("name", "place"), [fit for fit in FITS if with_cic(*fit)])
def test_cic_is_geepacks_if_omega_is_taken_from_a_fit_with_independence(name, place):
    said, fit = fits(name, place, "LZ")
    _, independence = fits(name, 0, "model")
    omega = np.linalg.inv(np.array(independence.record["covariance"]))
    found = np.trace(omega @ np.array(fit.record["covariance"])) * phi_of(name, said) / said["phi"]
    assert found == pytest.approx(said["cic"], rel=2e-4 if said["structure"] == "ar1" else 1e-5)


def test_a_working_correlation_that_cannot_be_is_pulled_in_and_said():
    said, fit = fits(*IMPOSSIBLE)
    assert max(said["alpha"]) > 1
    verdict = {check.check: check.ok for check in fit.checks}
    assert fit.converged
    assert not verdict["working_correlation_definite"]
    assert any("not positive definite" in warning for warning in fit.warnings)
    assert column(fit, "residual", scale="correlation").max() < 1
    beta = np.array(list(said["beta"].values()))
    assert np.abs(column(fit, "fixed") - beta).max() > 0.1  # what geepack says instead is far off


def test_kc_and_md_of_least_squares_are_cr2_and_cr3():
    place = next(i for i, (name, at) in enumerate(FITS) if name == "dietox" and at == 0)
    said, fit = fits(*FITS[place], "KC")
    assert said["structure"] == "independence"
    known = SAID["least_squares"]
    assert column(fit, "fixed", "std_error") == pytest.approx(np.array(known["CR2"]), rel=1e-9)
    errors = fit.record["variance"]["standard_errors"]
    assert np.array(errors["MD"]) == pytest.approx(np.array(known["CR3"]), rel=1e-9)
    assert np.array(fit.record["variance"]["satterthwaite_df"]) == pytest.approx(
        np.array(known["df"]), rel=1e-8
    )


def test_md_of_logistic_regression_is_cr3():
    place = next(i for i, (name, at) in enumerate(FITS) if name == "respiratory" and at == 0)
    errors = fits(*FITS[place])[1].record["variance"]["standard_errors"]
    assert np.array(errors["MD"]) == pytest.approx(np.array(SAID["least_squares"]["logistic_CR3"]), rel=1e-7)


@pytest.mark.parametrize("peer", SAID["gee"], ids=lambda peer: f"{peer['structure']}-{peer['lags']}")
def test_programs_with_other_denominators_agree_closely(peer):
    """Rule 16: gee and SAS subtract the number of coefficients."""
    said = SAID["sets"]["ohio"]
    keys = {key: said[key] for key in ("formula", "family", "link")}
    model = Model(**keys, engines=["gee"], correlation=peer["structure"], lags=peer["lags"])
    fit = fit_gee(build_design(dataset_of(said), "m", model), peer["structure"], peer["lags"], "LZ")
    assert column(fit, "residual", scale="dispersion") == pytest.approx(peer["phi"] * 2144 / 2148, rel=1e-4)
    alpha = column(fit, "residual", scale="correlation")
    assert alpha == pytest.approx(np.array(peer["alpha"])[: alpha.size], abs=1e-2)
    error = np.array(peer["std_error"])
    assert np.abs(column(fit, "fixed") - np.array(peer["beta"])).max() < 1e-3 * error.max()
    assert column(fit, "fixed", "std_error") == pytest.approx(error, rel=1e-3)
