"""Weights, known errors, residual covariances, memberships, relations and means nobody should ask for."""

import pytest

N = 30
PLAIN = ("answered", "refused")
LMM = {"models/m/engines": ["lmm"]}


def model(formula=None, **keys):
    changes = LMM | {f"models/m/{key}": value for key, value in keys.items()}
    return changes | ({"models/m/formula": formula} if formula else {})


def residual(structure="unstructured", formula="y ~ x", **keys):
    return model(formula, residual={"structure": structure, "time": "t"} | keys)


REFUSED = {
    "weights_zero": {
        "columns": {"w": [0, *[1] * 29]},
        "study": model(weights="w"),
        "says": ["zero in row 1"],
    },
    "weights_negative": {
        "columns": {"w": [-1, *[1] * 29]},
        "study": model(weights="w"),
        "says": ["negative"],
    },
    "weights_infinite": {"columns": {"w": ["inf", *[1] * 29]}, "study": model(weights="w")},
    "weights_huge": {"columns": {"w": [1e250, *[1.5] * 29]}, "study": model(weights="w")},
    "weights_words": {"study": model(weights="c"), "says": ["c holds no numbers"]},
    "weights_absent": {"study": model(weights="nobody"), "says": ["weights", "no column nobody"]},
    "weights_missing": {
        "columns": {"w": [""] * 30},
        "study": model(weights="w") | {"variables": {"w": {"type": "continuous"}}},
        "says": ["w"],
    },
    "errors_zero": {"columns": {"s": [0, *[1] * 29]}, "study": model(sampling_error="s"), "says": ["zero"]},
    "errors_negative": {"columns": {"s": [-2, *[1] * 29]}, "study": model(sampling_error="s")},
    "errors_words": {"study": model(sampling_error="c"), "says": ["c holds no numbers"]},
    "errors_the_outcome": {"columns": {"y": [0.0] * 30}, "study": model(sampling_error="y")},
    "visit_twice": {
        "columns": {"t": [0, 0, 1, 2, 3] * 6},
        "study": residual(),
        "says": ["g g0 has 2 rows at t 0"],
    },
    "visits_apart": {
        "columns": {"t": [0, 1, 2, 3, 4] * 3 + [0, 1, 2, 3, 5] * 3},
        "study": residual(),
        "says": ["never observed together"],
    },
    "visits_all_different": {"columns": {"t": list(range(30))}, "study": residual(), "says": ["parameters"]},
    "visits_one": {"columns": {"g": [f"g{k}" for k in range(30)], "t": [1] * 30}, "study": residual()},
    "visits_absent": {"study": residual(time="visit"), "says": ["residual.time", "no column visit"]},
    "subjects_of_one_row": {
        "columns": {"g": [f"g{k}" for k in range(30)]},
        "study": residual("compound_symmetry"),
        "says": ["one row"],
    },
    "subject_absent": {"study": residual(subject="person"), "says": ["person"]},
    "strata_inside": {"study": residual("ar1", by="c"), "says": ["c varies inside g"]},
    "strata_absent": {"study": residual("ar1", by="arm"), "says": ["residual.by", "arm"]},
    "no_time": {"study": model("y ~ x", residual={"structure": "ar1"}), "says": ["residual.time"]},
    "intercept_twice": {"study": residual("compound_symmetry", "y ~ x + (1 | g)"), "says": ["told apart"]},
    "effects_in_unstructured": {"study": residual("unstructured", "y ~ x + (t | g)"), "says": ["told apart"]},
    "power_of_zero": {"study": residual("ar1", variance={"power": "t"}), "says": ["zero"]},
    "power_of_words": {"study": residual("ar1", variance={"power": "c"}), "says": ["c holds no numbers"]},
    "exponential_of_one_value": {
        "columns": {"z": [3.5] * 30},
        "study": residual("ar1", variance={"exponential": "z"}),
        "says": ["same in every row"],
    },
    "strata_of_one_row": {
        "columns": {"c": ["u", *["v"] * 29]},
        "study": residual("ar1", variance={"strata": "c"}),
        "says": ["one row"],
    },
    "means_of_strangers": {"study": model(means=[["c"], ["nobody"]]), "says": ["c is not", "nobody is not"]},
    "means_of_the_outcome": {"study": model(means=[["y"]]), "says": ["y is not"]},
    "means_of_a_covariate": {"study": model(means=[["x"]]), "says": ["x has", "values"]},
    "members_of_weight_zero": {
        "columns": {"g2": [f"g{(k + 1) % 6}" for k in range(30)], "w": [0] * 30},
        "study": model("y ~ x + (1 | mm(g, g2, weights = cbind(w, t)))"),
        "says": ["all 0"],
    },
    "members_absent": {"study": model("y ~ x + (1 | mm(g, h))"), "says": ["no column h"]},
    "members_of_negative_weight": {
        "columns": {"g2": [f"g{(k + 1) % 6}" for k in range(30)], "w": [-1] * 30},
        "study": model("y ~ x + (1 | mm(g, g2, weights = cbind(w, t)))"),
        "says": ["negative"],
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_in_a_sentence(end, name):
    end({"ends": ("refused", "stopped")} | REFUSED[name])


def relation(text):
    return {"files": {"K.csv": text.encode()}, "study": LMM | {"groups/g/relation": "K.csv"}}


RELATIONS = {
    "empty": ("", "K.csv"),
    "binary": ("\x00\x01\x02", "K.csv"),
    "words": ("id,g0,g1\ng0,one,zero\ng1,zero,one\n", "no finite number"),
    "not_square": ("id,g0,g1\ng0,1,0\n", "rows and"),
    "not_symmetric": ("id,g0,g1\ng0,1,0.5\ng1,0.1,1\n", "diagonal"),
    "not_positive": ("id,g0,g1\ng0,1,9\ng1,9,1\n", "positive definite"),
    "nan": ("id,g0,g1\ng0,1,nan\ng1,nan,1\n", "no finite number"),
    "other_groups": ("id,a,b\na,1,0\nb,0,1\n", "not in the relation: g0"),
}


@pytest.mark.parametrize("name", RELATIONS)
def test_relation_is_refused_in_a_sentence(end, name):
    text, words = RELATIONS[name]
    end(relation(text) | {"ends": ("stopped", "refused"), "says": [words]})


@pytest.mark.parametrize("target", ["../outside.csv", "/etc/passwd", "dataset:radon", "folder", "*.csv"])
def test_relation_is_read_from_the_project_only(end, target):
    end({"study": LMM | {"groups/g/relation": target}, "ends": ("stopped",)})


def test_relation_behind_a_link(end, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("id,g0\ng0,1\n")
    case = {"links": {"K.csv": secret}, "study": LMM | {"groups/g/relation": "K.csv"}}
    ending = end(case | {"ends": ("stopped",), "says": ["outside"]})
    assert "g0" not in ending.words


ANSWERED = {
    "weights_far_apart": {
        "columns": {"w": [10.0 ** (k % 7 - 3) for k in range(N)]},
        "study": model(weights="w"),
    },
    "weights_partly_missing": {"columns": {"w": ["", *[1.5] * 29]}, "study": model(weights="w")},
    "errors_far_apart": {
        "columns": {"s": [10.0 ** (k % 5 - 2) for k in range(N)]},
        "study": model("y ~ x + (1 | g)", sampling_error="s"),
    },
    "members_half_missing": {
        "columns": {"g2": ["" if k % 2 else f"g{(k + 1) % 6}" for k in range(N)]},
        "study": model("y ~ x + (1 | mm(g, g2))"),
    },
    "a_trial": {"study": residual("unstructured")},
    "a_walk": {"study": residual("ar1")},
    "a_variance_of_levels": {"study": residual("ar1", variance={"strata": "c"})},
    "means": {"study": model("y ~ x + c + (1 | g)", means=[["c"]])},
}


@pytest.mark.parametrize("name", ANSWERED)
def test_is_answered(end, name):
    ending = end({"ends": ("answered",)} | ANSWERED[name])
    fit = ending.fits["m", "lmm"]
    assert str(fit.status) in ("ok", "singular", "not_converged")
