import numpy as np
import polars as pl
import pytest

from nestwise.data.dataset import VariableInfo
from nestwise.figures.drawing import Wording
from nestwise.results import conform
from nestwise.vocabulary import ESTIMATES, GROUPS, INTERCEPT

HOSTILE = "<script>alert('$x_1$')</script> & \"Łódź\" \x1b[31m\u202e"
VARIABLES = {
    "y": VariableInfo("y", "continuous", declared=True, unit="ms", label="Reaction"),
    "x": VariableInfo("x", "continuous", declared=True, unit="day", label="Time awake"),
    "u": VariableInfo("u", "continuous", declared=True, unit="ppm"),
}


@pytest.fixture
def wording():
    return Wording("y", VARIABLES, {"g": "school"}, "x")


def pooled_groups(count=12, terms=(INTERCEPT,), seed=1, labels=None):
    """Groups shrunk by the closed form: sigma 2, tau 1, so that sigma^2 / tau^2 = 4."""
    generator = np.random.default_rng(seed)
    sizes = np.sort(generator.integers(1, 60, count))
    names = labels or [f"g{k}" for k in range(count)]
    frames = []
    for term in terms:
        own = 10 + generator.normal(0, np.sqrt(1 + 4 / sizes))
        weight = sizes / (sizes + 4)
        partial = 10 + weight * (own - 10)
        error = np.sqrt(1 - weight)
        columns = {
            "group": "g",
            "label": names,
            "term": term,
            "n": sizes,
            "no_pooling": own,
            "no_pooling_se": 2 / np.sqrt(sizes),
            "complete_pooling": 10.0,
            "complete_pooling_se": 0.1,
            "partial_pooling": partial,
            "partial_pooling_se": error,
            "lower": partial - 2 * error,
            "upper": partial + 2 * error,
            "random_effect": partial - 10,
            "random_effect_se": error,
            "pooling_factor": weight,
        }
        frames.append(pl.DataFrame(columns))
    return conform(pl.concat(frames), GROUPS)


@pytest.fixture
def groups():
    return pooled_groups()


@pytest.fixture
def draws():
    generator = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "chain": np.repeat([0, 1, 2, 3], 250),
            "draw": np.tile(np.arange(250), 4),
            "fixed|(Intercept)": generator.normal(10, 1, 1000),
            "sd|g|(Intercept)": np.abs(generator.normal(1, 0.3, 1000)),
            "residual|sigma": np.abs(generator.normal(2, 0.1, 1000)),
        }
    )


def estimate_rows(engine="lmm", model="m", sd=1.0, sigma=2.0, terms=(INTERCEPT,)):
    rows = [
        {"component": "fixed", "term": name, "estimate": 10.0, "lower": 9.0, "upper": 11.0} for name in terms
    ]
    rows.append(
        {"component": "sd", "group": "g", "term": INTERCEPT, "estimate": sd, "lower": 0.5, "upper": 1.8}
    )
    rows.append({"component": "residual", "term": "sigma", "estimate": sigma, "lower": None, "upper": None})
    frame = pl.DataFrame([{"group": None} | row for row in rows], infer_schema_length=None)
    return conform(
        frame.with_columns(model=pl.lit(model), engine=pl.lit(engine), method=pl.lit("REML")), ESTIMATES
    )


@pytest.fixture
def estimates():
    return pl.concat([estimate_rows("lmm"), estimate_rows("pymc", sd=1.1), estimate_rows("mixedlm")])


@pytest.fixture
def predictions():
    generator = np.random.default_rng(5)
    fitted = generator.normal(10, 2, 300)
    residual = generator.normal(0, 1, 300)
    return pl.DataFrame(
        {
            "row": np.arange(1, 301),
            "observed": fitted + residual,
            "fixed": fitted,
            "fitted": fitted,
            "residual": residual,
        }
    )


@pytest.fixture
def make_groups():
    return pooled_groups


@pytest.fixture
def make_estimates():
    return estimate_rows


@pytest.fixture
def hostile():
    return HOSTILE
