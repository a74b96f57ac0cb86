"""Data that contradict their study, or cannot carry its model: stopped, refused, or answered soundly."""

import numpy as np
import pytest

RNG = np.random.default_rng(11)
N = 30
GROUPS = [f"g{k // 5}" for k in range(N)]
Y = (5 + RNG.normal(size=N)).round(3).tolist()
X = RNG.normal(size=N).round(3).tolist()

STOPPED, REFUSED, ANSWERED = ("stopped",), ("refused",), ("answered",)
NOT_ANSWERED = ("stopped", "refused")
ANY = ("stopped", "refused", "answered")


def first(value, rest):
    return [value, *rest[1:]]


def formula(text, **study):
    return {"models/m/formula": text, **study}


HOSTILE = {
    # columns that are not there
    "no_group_column": {"columns": {"g": ...}, "says": ["`g`"]},
    "no_outcome_column": {"columns": {"y": ...}, "says": ["no column y"], "ends": NOT_ANSWERED},
    "no_predictor_column": {"columns": {"x": ...}, "says": ["no column x"], "ends": NOT_ANSWERED},
    "no_time_column": {"study": {"time": {"column": "day"}}, "says": ["`day`"]},
    "no_declared_column": {"study": {"variables": {"height": {"min": 0}}}, "says": ["`height`"]},
    "near_miss": {"study": formula("y ~ X + (1 | g)"), "says": ["`X`", "`x`"], "ends": NOT_ANSWERED},
    "no_derive_source": {"study": {"derive": [{"center": "w", "as": "z"}]}, "says": ["`w`"]},
    "derive_onto_column": {"study": {"derive": [{"center": "x", "as": "y"}]}, "says": ["`y`"]},
    "derive_twice": {
        "study": {"derive": [{"center": "x", "as": "z"}, {"scale": "x", "as": "z"}]},
        "says": ["`z`"],
    },
    "derive_from_words": {"study": {"derive": [{"center": "c", "as": "z"}]}, "says": ["`c`"]},
    "derive_scale_of_constant": {
        "columns": {"x": [3.0] * N},
        "study": formula("y ~ z + (1 | g)", derive=[{"scale": "x", "as": "z"}]),
        "ends": NOT_ANSWERED,
    },
    "wide_without_columns": {
        "study": {
            "data": {"source": "data.csv", "wide": {"columns": ["y1", "y2"], "time": "t2", "value": "z"}}
        },
        "says": ["`y1`"],
    },
    "wide_onto_column": {
        "study": {"data": {"source": "data.csv", "wide": {"columns": ["x", "y"], "time": "t", "value": "z"}}},
        "says": ["`t`"],
    },
    # values of the wrong type or outside what was declared
    "words_in_outcome": {
        "columns": {"y": first("lots", Y)},
        "study": {"variables": {"y": {"type": "continuous"}}},
        "says": ["`y`", "lots"],
    },
    "words_in_outcome_undeclared": {"columns": {"y": first("lots", Y)}, "says": ["y"], "ends": NOT_ANSWERED},
    "nan_words": {"columns": {"y": first("NaN", Y)}, "ends": ANSWERED},
    "infinite": {"columns": {"x": first("inf", X)}, "says": ["`x`", "infinite"]},
    "minus_infinite_outcome": {"columns": {"y": first("-Infinity", Y)}, "says": ["`y`", "infinite"]},
    "thousand_commas": {
        "columns": {"y": [f'"1,{k:03d}"' for k in range(N)]},
        "says": ["y"],
        "ends": NOT_ANSWERED,
    },
    "below_min": {
        "columns": {"x": first(-1, [1] * N)},
        "study": {"variables": {"x": {"min": 0}}},
        "says": ["`x`"],
    },
    "above_max": {
        "columns": {"x": first(9, X)},
        "study": {"variables": {"x": {"max": 5}}},
        "says": ["`x`", "9"],
    },
    "undeclared_level": {"study": {"variables": {"c": {"levels": ["u", "w"]}}}, "says": ["`c`", "'v'"]},
    "undeclared_reference": {
        "study": {"variables": {"c": {"type": "categorical", "reference": "w"}}},
        "says": ["w"],
    },
    "fractional_count": {"study": {"variables": {"x": {"type": "count"}}}, "says": ["`x`"]},
    "negative_count": {
        "columns": {"x": [-1] * N},
        "study": {"variables": {"x": {"type": "count"}}},
        "says": ["`x`"],
    },
    "binary_of_three": {
        "columns": {"x": [k % 3 for k in range(N)]},
        "study": {"variables": {"x": {"type": "binary"}}},
        "says": ["`x`"],
    },
    "impossible_date": {
        "columns": {"d": ["2020-02-30"] * N},
        "study": {"variables": {"d": {"type": "date"}}},
        "says": ["`d`"],
    },
    "time_of_words": {"columns": {"t": ["soon"] * N}, "study": {"time": {"column": "t"}}, "says": ["`t`"]},
    "varies_within": {
        "study": {"variables": {"x": {"type": "continuous", "constant_within": "g"}}},
        "says": ["`x`"],
    },
    "constant_within_unknown": {"study": {"variables": {"x": {"constant_within": "h"}}}, "says": ["`h`"]},
    "group_is_missing_once": {"columns": {"g": first("", GROUPS)}, "ends": ("stopped", "answered")},
    "group_is_missing": {"columns": {"g": [""] * N}, "ends": NOT_ANSWERED},
    "duplicated_time": {
        "columns": {"t": [0] * N},
        "study": {"time": {"column": "t"}},
        "ends": STOPPED,
        "says": ["`t`"],
    },
    "declared_nesting_crossed": {
        "study": {"groups": {"c": {}, "g": {"within": "c"}}},
        "ends": ("stopped", "answered"),
    },
    # data that cannot carry the model
    "one_group": {"columns": {"g": ["g0"] * N}, "ends": NOT_ANSWERED, "says": ["group"]},
    "two_groups": {"columns": {"g": ["a", "b"] * 15}, "ends": ANY},
    "every_row_a_group": {"columns": {"g": [f"g{k}" for k in range(N)]}, "ends": NOT_ANSWERED},
    "constant_outcome": {"columns": {"y": [5.0] * N}, "ends": NOT_ANSWERED, "says": ["y"]},
    "constant_in_every_group": {
        "columns": {"y": [float(k // 5) ** 1.5 for k in range(N)]},
        "study": formula("y ~ 1 + (1 | g)"),
        "ends": NOT_ANSWERED,
    },
    "exact_line": {"columns": {"x": X, "y": [2 * v + 1 for v in X]}, "ends": NOT_ANSWERED},
    "exact_line_a_group": {
        "columns": {"x": X, "y": [2 * v + k // 5 for k, v in enumerate(X)]},
        "ends": NOT_ANSWERED,
    },
    "no_outcome_at_all": {"columns": {"y": [""] * N}, "ends": NOT_ANSWERED, "says": ["y"]},
    "all_rows_dropped": {"columns": {"x": [""] * N}, "ends": NOT_ANSWERED, "says": ["x"]},
    "missing_in_turns": {
        "columns": {
            "x": ["" if k % 2 else v for k, v in enumerate(X)],
            "y": [v if k % 2 else "" for k, v in enumerate(Y)],
        },
        "ends": NOT_ANSWERED,
    },
    "two_rows_left": {"columns": {"x": [1, 2, *[""] * (N - 2)]}, "ends": NOT_ANSWERED},
    "more_columns_than_rows": {"study": formula("y ~ factor(x) + (1 | g)"), "ends": NOT_ANSWERED},
    "collinear": {
        "columns": {"x": X, "z": [2 * v for v in X]},
        "study": formula("y ~ x + z + (1 | g)"),
        "ends": ANSWERED,
    },
    "nearly_collinear": {
        "columns": {"x": X, "z": [v + 1e-13 * k for k, v in enumerate(X)]},
        "study": formula("y ~ x + z + (1 | g)"),
        "ends": ("answered", "refused"),
    },
    "constant_predictor": {"columns": {"x": [3] * N}, "ends": ("answered", "refused")},
    "more_effects_than_rows": {
        "columns": {"g": [f"g{k // 2}" for k in range(N)]},
        "study": formula("y ~ x + (x | g)"),
        "ends": REFUSED,
        "says": ["random"],
    },
    "slope_of_a_constant": {
        "columns": {"x": [k // 5 for k in range(N)]},
        "study": formula("y ~ x + (x | g)"),
        "ends": ("refused", "answered"),
    },
    "group_also_fixed": {
        "study": formula("y ~ g + (1 | g)"),
        "ends": REFUSED,
        "says": ["nothing is left to vary by g"],
    },
    "outcome_on_both_sides": {"study": formula("y ~ y + (1 | g)"), "ends": NOT_ANSWERED},
    "outcome_of_words": {"study": formula("c ~ x + (1 | g)"), "ends": NOT_ANSWERED, "says": ["c"]},
    "outcome_is_group": {"study": formula("g ~ x + (1 | g)"), "ends": NOT_ANSWERED},
    "huge_outcome": {"columns": {"y": [v * 1e300 for v in Y]}, "ends": NOT_ANSWERED, "says": ["large"]},
    "largest_outcome": {
        "columns": {"y": [1.7e308, -1.7e308] * 15},
        "ends": NOT_ANSWERED,
        "says": ["large"],
    },
    "tiny_outcome": {"columns": {"y": [v * 1e-300 for v in Y]}, "ends": NOT_ANSWERED, "says": ["small"]},
    "huge_predictor": {
        "columns": {"x": [v * 1e200 for v in X]},
        "ends": NOT_ANSWERED,
        "says": ["values of x", "large"],
    },
    "far_from_zero": {"columns": {"y": [1e12 + v for v in Y]}, "ends": ("refused", "answered")},
    "logarithm_of_negative": {
        "study": formula("y ~ log(x) + (1 | g)"),
        "ends": NOT_ANSWERED,
        "says": ["log"],
    },
    "root_of_negative": {"study": formula("y ~ sqrt(x) + (1 | g)"), "ends": NOT_ANSWERED, "says": ["sqrt"]},
    "division_by_zero": {
        "columns": {"x": first(0, X)},
        "study": formula("y ~ I(1/x) + (1 | g)"),
        "ends": NOT_ANSWERED,
    },
    "overflow": {"study": formula("y ~ exp(I(x * 1000)) + (1 | g)"), "ends": NOT_ANSWERED},
    "log_outcome_of_zero": {
        "columns": {"y": first(0, [abs(v) for v in Y])},
        "study": formula("log(y) ~ x + (1 | g)"),
        "ends": NOT_ANSWERED,
    },
    "polynomial_too_high": {
        "columns": {"x": [k % 3 for k in range(N)]},
        "study": formula("y ~ poly(x, 5) + (1 | g)"),
        "ends": NOT_ANSWERED,
    },
    "unknown_function": {"study": formula("y ~ whiten(x) + (1 | g)"), "says": ["whiten"]},
    "date_as_outcome": {
        "columns": {"d": [f"2020-01-{k + 1:02d}" for k in range(N)]},
        "study": formula("d ~ x + (1 | g)", variables={"d": {"type": "date"}}),
        "ends": NOT_ANSWERED,
    },
    "crossed_factors": {
        "columns": {"h": [f"h{k % 5}" for k in range(N)]},
        "study": formula("y ~ x + (1 | g) + (1 | h)", groups={"g": {}, "h": {}}),
        "ends": ("refused", "answered"),
    },
    "undeclared_factor": {"study": formula("y ~ x + (1 | c)"), "ends": ANY},
    "absent_factor": {"study": formula("y ~ x + (1 | school)"), "ends": NOT_ANSWERED, "says": ["`school`"]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_data(end, name):
    end(HOSTILE[name])


def many(levels, each):
    n = levels * each
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(levels), each)
    y = rng.normal(size=levels)[codes] + rng.normal(size=n)
    return {
        "g": [f"level {k}" for k in codes], "t": [0] * n, "c": ["u"] * n,
        "x": rng.normal(size=n).round(3).tolist(), "y": y.round(3).tolist(),
    }  # fmt: skip


def test_ten_thousand_groups(end):
    ending = end(
        {"columns": many(10_000, 3), "study": {"models/m/engines": ["pooled", "lmm"]}, "ends": ANSWERED}
    )
    assert ending.fits["m", "lmm"].n_groups == 10_000


def test_ten_thousand_levels_as_fixed_effects_are_refused(end):
    """A dense design of 10,000 indicators would take 2.4 GB."""
    study = {"models/m/formula": "y ~ g + (1 | c)", "models/m/engines": ["lmm"], "groups": {"g": {}, "c": {}}}
    end({"columns": many(10_000, 3), "study": study, "ends": NOT_ANSWERED})


HTML = "<script>alert(1)</script>"


def test_markup_stays_text(end):
    """Labels, titles and levels may hold markup; it is text, and it survives as it is."""
    ending = end(
        {
            "columns": {"g": [f"<b>{k // 5}</b>" for k in range(N)]},
            "study": {"title": HTML, "groups": {"g": {"label": HTML}}, "report": {"question": HTML}},
            "ends": ANSWERED,
        }
    )
    assert ending.fits["m", "lmm"].groups["label"].str.starts_with("<b>").all()


@pytest.mark.parametrize("label", ["=cmd()", "名前", "a|b", "x:y", "", "tab\there", "'quote'", "NA "])
def test_odd_labels_of_groups(end, label):
    labels = [label if k < 5 else f"g{k // 5}" for k in range(N)]
    end({"columns": {"g": labels}, "ends": ANY})


def test_ids_beyond_the_integers_of_a_float(end):
    """Ids that differ by 1 beyond 2^53 are different groups."""
    ids = [2**53 + k // 5 for k in range(N)]
    ending = end({"columns": {"g": ids}, "ends": ANSWERED})
    assert ending.fits["m", "lmm"].n_groups == 6
    assert set(ending.fits["m", "lmm"].groups["label"]) == {str(k) for k in ids}


def test_ids_beyond_any_integer(end):
    ids = [2**70 + k // 5 for k in range(N)]
    ending = end({"columns": {"g": ids}, "ends": ANSWERED})
    assert ending.fits["m", "lmm"].n_groups == 6


def test_leading_zeros_of_ids_are_kept(end):
    """`007` and `7` are two groups."""
    ids = ["007" if k < 15 else "7" for k in range(N)]
    ending = end({"columns": {"g": ids}, "ends": ANY})
    if ending.kind == "answered":
        assert ending.fits["m", "lmm"].n_groups == 2


def test_answer_does_not_depend_on_units(end):
    """Rule 5: singularity is judged on theta: an outcome in other units is the same study."""
    ending = end({"columns": {"y": [v * 1e-9 for v in Y]}, "ends": ("answered",)})
    assert str(ending.fits["m", "lmm"].status) in ("ok", "singular")


def test_engines_agree_on_what_is_exact(end):
    """An outcome far from zero has few digits left, and still varies: no engine may call it reproduced."""
    ending = end({"columns": {"y": [1e12 + v for v in Y]}, "ends": ANSWERED})
    assert {str(fit.status) for fit in ending.fits.values()} <= {"ok", "singular"}


def test_lines_without_residuals_are_refused_by_all(end):
    columns = {"x": X, "y": [2 * v + k // 5 for k, v in enumerate(X)]}
    ending = end({"columns": columns, "ends": REFUSED})
    assert str(ending.fits["m", "unpooled"].status) == "refused"


def test_collinear_columns_are_named(end):
    columns = {"x": X, "z": [2 * v for v in X]}
    ending = end({"columns": columns, "study": formula("y ~ x + z + (1 | g)"), "ends": ANSWERED})
    for fit in ending.fits.values():
        assert "z" not in [row.term for row in fit.estimates]
