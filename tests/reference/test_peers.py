"""What peers in R say of the same csv, number by number.

Tolerances, and why:

- maximum-likelihood and REML estimates 1e-4 relative: two optimisers on one surface (reference-values.md);
  fixed effects relative to the larger of estimate and standard error, because an effect may be near 0;
- correlations and random effects 2e-4 of their scale (1, and the term's SD): they amplify those of the SDs;
- log-likelihoods 1e-4 absolute, with all constants (rule 3), and never below lme4's best by more than 1e-5;
- Satterthwaite df 1e-2 relative (rule 4): lmerTest differentiates numerically;
- profile limits 2e-3 of the interval's width (rule 6): lme4 interpolates them with splines;
- closed forms (least squares) 1e-8.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

HERE = Path(__file__).parent
EXPECTED = {
    path.parent.name: content
    for path in sorted(HERE.glob("*/expected.json"))
    if "models" in (content := json.loads(path.read_text())) and "data" in content
}
MODELS = [(case, model) for case, content in EXPECTED.items() for model in content["models"]]


def lookup(fit):
    """Estimates by (component, group, term)."""
    return {(row.component, row.group, row.term): row for row in fit.estimates}


def listed(value):
    """R writes a vector of length one as a scalar."""
    return value if isinstance(value, list) else [value]


def rows(table):
    """Columns to rows; an empty table is an empty list."""
    if not table:
        return []
    columns = {name: listed(values) for name, values in table.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def fitted(cases, case, model, engine="lmm"):
    said = EXPECTED[case]["models"][model]
    return said, cases[case].fit(engine, said["formula"], said["reml"], said.get("weights"))


def factor_names(fit, group):
    """Our name of lme4's factor and the order of the parts of its labels: `cask:batch` is `batch:cask`."""
    ours = {row.group for row in fit.estimates if row.component == "sd"}
    parts = group.split(":")
    for name in ours:
        if sorted(name.split(":")) == sorted(parts):
            return name, [parts.index(part) for part in name.split(":")]
    raise AssertionError(f"no factor {group} among {ours}")


def label_of(label, order):
    """A group's label with its parts in our order; labels of undivided factors may hold colons themselves."""
    parts = str(label).split(":")
    return ":".join(parts[i] for i in order) if len(order) > 1 else str(label)


def near(value, expected, tolerance, what):
    assert value is not None, f"{what} is missing, expected {expected}"
    assert abs(value - expected) <= tolerance, (
        f"{what}: {value!r}, expected {expected!r} within {tolerance:.2g}"
    )


@pytest.mark.parametrize("case", EXPECTED)
def test_data_are_those_r_read(cases, case):
    from hashlib import sha256

    assert sha256(cases[case].csv().read_bytes()).hexdigest() == EXPECTED[case]["data"]["sha256"]


@pytest.mark.parametrize(("case", "model"), MODELS)
def test_fixed_effects(cases, case, model):
    """Rules 1 and 4: estimates, standard errors, t statistics with Satterthwaite df."""
    said, fit = fitted(cases, case, model)
    found = lookup(fit)
    assert [row.term for row in fit.estimates if row.component == "fixed"] == listed(said["fixed"]["term"])
    for row in rows(said["fixed"]):
        ours = found["fixed", None, row["term"]]
        scale = max(abs(row["estimate"]), row["std_error"])
        near(ours.estimate, row["estimate"], 1e-4 * scale, row["term"])
        near(ours.std_error, row["std_error"], 1e-4 * row["std_error"], f"SE of {row['term']}")
        near(ours.statistic, row["statistic"], 2e-4 * max(1, abs(row["statistic"])), f"t of {row['term']}")
        if "df" in row:
            near(ours.df, row["df"], 1e-2 * row["df"], f"df of {row['term']}")
        p_value = 2 * stats.t.sf(abs(ours.statistic), ours.df)
        near(ours.p_value, p_value, 1e-6 * p_value, f"p of {row['term']}")
        half = stats.t.ppf(0.975, ours.df) * ours.std_error
        near(ours.lower, ours.estimate - half, 1e-6 * half, f"lower of {row['term']}")
        near(ours.upper, ours.estimate + half, 1e-6 * half, f"upper of {row['term']}")


@pytest.mark.parametrize(("case", "model"), MODELS)
def test_variances(cases, case, model):
    """Rules 1 and 5: SDs and correlations on the outcome's scale; the boundary is a result."""
    said, fit = fitted(cases, case, model)
    found = lookup(fit)
    near(found["residual", None, "sigma"].estimate, said["sigma"], 1e-4 * said["sigma"], "sigma")
    for row in rows(said["sds"]):
        group, _ = factor_names(fit, row["group"])
        scale = row["sd"] if row["sd"] > 1e-3 * said["sigma"] else said["sigma"]
        near(found["sd", group, row["term"]].estimate, row["sd"], 1e-4 * scale, f"sd {group} {row['term']}")
    for row in rows(said["cors"]):
        group, _ = factor_names(fit, row["group"])
        near(found["cor", group, row["term"]].estimate, row["cor"], 2e-4, f"cor {group} {row['term']}")
    assert fit.singular == said["singular"]
    assert fit.status == ("singular" if said["singular"] else "ok")
    assert sum(row.component == "cor" for row in fit.estimates) == len(rows(said["cors"]))


@pytest.mark.parametrize(("case", "model"), MODELS)
def test_likelihood(cases, case, model):
    """Rules 2 and 3: with all constants; information criteria are those of ML, or R's under REML."""
    said, fit = fitted(cases, case, model)
    near(fit.log_likelihood, said["log_likelihood"], 1e-4, "log-likelihood")
    assert fit.log_likelihood >= said["log_likelihood"] - 1e-5, "lme4 found a higher likelihood"
    assert fit.n_obs == said["n_obs"]
    assert fit.n_groups == max(said["n_groups"].values())
    assert fit.n_parameters == said["n_parameters"]
    if not said["reml"] or fit.aic is not None:
        near(fit.aic, said["aic"], 3e-4, "AIC")
    assert fit.method.startswith("REML" if said["reml"] else "ML")


@pytest.mark.parametrize(("case", "model"), MODELS)
def test_random_effects(cases, case, model):
    """Rule 31: predicted effects and their conditional SDs; of large factors some, and sums over all."""
    said, fit = fitted(cases, case, model)
    sds = {(row["group"], row["term"]): row["sd"] for row in rows(said["sds"])}
    ours = {(row["group"], row["label"], row["term"]): row for row in fit.groups.iter_rows(named=True)}
    for row in rows(said["groups"]):
        group, order = factor_names(fit, row["group"])
        label = label_of(row["label"], order)
        mine = ours[group, label, row["term"]]
        scale = max(sds[row["group"], row["term"]], 1e-3 * said["sigma"])
        near(mine["random_effect"], row["effect"], 3e-4 * scale, f"effect of {label} {row['term']}")
        near(mine["random_effect_se"], row["effect_sd"], 3e-4 * scale, f"SD of effect of {label}")
    if "group_sums" not in said:
        assert len(ours) == len(rows(said["groups"]))
        return
    for row in rows(said["group_sums"]):
        group, _ = factor_names(fit, row["group"])
        of_term = fit.groups.filter(group=group, term=row["term"])
        squares, sums = (of_term["random_effect"] ** 2).sum(), of_term["random_effect_se"].sum()
        assert of_term.height == row["n"]
        near(squares, row["squares"], 1e-3 * row["squares"], f"squared effects of {group}")
        near(sums, row["sds"], 3e-4 * row["sds"], f"SDs of effects of {group}")


def profile_key(fit, name):
    """`sd_Days|Subject` and `cor_Days.(Intercept)|Subject` as our tables call them."""
    if name == "sigma":
        return "residual", None, "sigma"
    if not name.startswith(("sd_", "cor_")):
        return None
    coefficient, group = name.split("|")
    component, term = coefficient.split("_", 1)
    group, _ = factor_names(fit, group)
    return component, group, ":".join(reversed(term.split("."))) if component == "cor" else term


PROFILED = [(c, m) for c, m in MODELS if "profile" in EXPECTED[c]["models"][m]]


@pytest.mark.parametrize(("case", "model"), PROFILED)
def test_intervals_of_variances(cases, case, model):
    """Rule 6: profile intervals, of the restricted likelihood under REML; never estimate +- 1.96 SE."""
    said, fit = fitted(cases, case, model)
    found = lookup(fit)
    compared = 0
    for row in rows(said["profile"]):
        key = profile_key(fit, row["name"])
        if key is None:
            continue
        ours = found[key]
        width = row["upper"] - row["lower"]
        near(ours.lower, row["lower"], 2e-3 * width, f"lower limit of {row['name']}")
        near(ours.upper, row["upper"], 2e-3 * width, f"upper limit of {row['name']}")
        compared += 1
    assert compared >= 2


ADJUSTED = [(c, m) for c, m in MODELS if "kenward_roger" in EXPECTED[c]["models"][m]]


@pytest.mark.parametrize(("case", "model"), ADJUSTED)
def test_kenward_roger(cases, case, model):
    """pbkrtest's standard errors, and its df to 1e-3: closed forms, at optima that differ a little."""
    from nestwise.fit.fixed_effects import fixed_effect_inference
    from nestwise.fit.lmm import solve_lmm

    said = EXPECTED[case]["models"][model]
    design = cases[case].design(said["formula"], said["reml"], said.get("weights"))
    inference = fixed_effect_inference(design, solve_lmm(design), "kenward_roger")
    df = inference.t(np.eye(len(design.names)))
    for row in rows(said["kenward_roger"]):
        k = design.names.index(row["term"])
        near(inference.std_error[k], row["std_error"], 1e-4 * row["std_error"], f"SE of {row['term']}")
        near(df[k], row["df"], 1e-3 * row["df"], f"df of {row['term']}")


REFEREED = [
    ("radon", "slopes_uranium"), ("radon", "cross_level"), ("radon", "intercepts"), ("sleepstudy", "ml"),
    ("sleepstudy", "reml"), ("sleepstudy", "independent"), ("exam", "slopes_reml"), ("machines", "slopes"),
    ("unbalanced", "slopes"), ("tiny", "reml"), ("orthodont", "sex"), ("pastes", "nested"),
    ("oats", "varieties"), ("oxide", "sources"), ("pixel", "slopes"), ("machines", "nested"),
    ("egsingle", "intercepts"), ("penicillin", "crossed"), ("penicillin", "crossed_ml"), ("assay", "crossed"),
    ("cake", "nested"), ("crossed", "offset"), ("crossed", "three"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "model"), REFEREED)
def test_statsmodels_agrees(cases, case, model):
    """The referee: MixedLM at the same optimum, SEs to 1e-3 (rule 1: never its raw `params`)."""
    said, fit = fitted(cases, case, model, "mixedlm")
    found = lookup(fit)
    near(fit.log_likelihood, said["log_likelihood"], 1e-6 * abs(said["log_likelihood"]), "log-likelihood")
    for row in rows(said["fixed"]):
        ours = found["fixed", None, row["term"]]
        near(ours.estimate, row["estimate"], 1e-3 * row["std_error"], row["term"])
        near(ours.std_error, row["std_error"], 1e-3 * row["std_error"], f"SE of {row['term']}")
    for row in rows(said["sds"]):
        group, _ = factor_names(fit, row["group"])
        near(found["sd", group, row["term"]].estimate, row["sd"], 1e-3 * row["sd"], f"sd {row['term']}")


COMPLETE = [(c, m) for c, said in EXPECTED.items() for m in said.get("complete_pooling", {})]


@pytest.mark.parametrize(("case", "model"), COMPLETE)
def test_complete_pooling(cases, case, model):
    """Least squares in closed form; the cluster-robust SE is one clubSandwich knows by name."""
    said = EXPECTED[case]["complete_pooling"][model]
    fit = cases[case].fit("pooled", said["formula"] + f" + (1 | {said['group']})")
    found = lookup(fit)
    robust = {kind: {row["term"]: row for row in rows(table)} for kind, table in said["robust"].items()}
    for row in rows(said["fixed"]):
        ours = found["fixed", None, row["term"]]
        near(ours.estimate, row["estimate"], 1e-8 * max(1, abs(row["estimate"])), row["term"])
        agreeing = [
            kind for kind, table in robust.items()
            if abs(ours.std_error - table[row["term"]]["std_error"]) < 1e-6 * ours.std_error
        ]  # fmt: skip
        assert agreeing, f"SE of {row['term']}: {ours.std_error}, clubSandwich says {robust}"
    sigma = found["residual", None, "sigma"].estimate
    near(sigma, said["sigma"], 1e-8 * sigma, "sigma")


NONE = [(c, m) for c, said in EXPECTED.items() for m in said.get("no_pooling", {})]


@pytest.mark.parametrize(("case", "model"), NONE)
def test_no_pooling(cases, case, model):
    """Group indicators in closed form, in the table of groups."""
    said = EXPECTED[case]["no_pooling"][model]
    outcome, slope = said["formula"].split(" ~ ")[0], said["fixed"]["label"]
    fit = cases[case].fit("unpooled", f"{outcome} ~ {listed(slope)[0]} + (1 | {said['group']})")
    ours = {row["label"]: row for row in fit.groups.iter_rows(named=True)}
    for row in rows(said["groups"]):
        mine = ours[str(row["label"])]
        near(mine["no_pooling"], row["estimate"], 1e-8 * abs(row["estimate"]), f"intercept of {row['label']}")
        near(mine["no_pooling_se"], row["std_error"], 1e-8 * row["std_error"], f"SE of {row['label']}")
    slope_row = rows(said["fixed"])[0]
    found = lookup(fit)["fixed", None, slope_row["label"]]
    near(found.estimate, slope_row["estimate"], 1e-8, "common slope")
    near(found.std_error, slope_row["std_error"], 1e-8, "SE of the common slope")
    near(lookup(fit)["residual", None, "sigma"].estimate, said["sigma"], 1e-8 * said["sigma"], "sigma")


ALONE = [(c, m) for c, said in EXPECTED.items() for m in said.get("group_regressions", {})]


@pytest.mark.parametrize(("case", "model"), ALONE)
def test_group_regressions(cases, case, model):
    """A regression a group: own coefficients; SEs with the common or the own residual variance."""
    said = EXPECTED[case]["group_regressions"][model]
    outcome, fixed = said["formula"].split(" ~ ")
    fit = cases[case].fit("unpooled", f"{outcome} ~ {fixed} + ({fixed} | {said['group']})")
    ours = {(row["label"], row["term"]): row for row in fit.groups.iter_rows(named=True)}
    for row in rows(said["groups"]):
        mine = ours[str(row["label"]), row["term"]]
        near(mine["no_pooling"], row["estimate"], 1e-8 * max(1, abs(row["estimate"])), str(row))
        errors = (row["std_error"], row["std_error_pooled"])
        assert any(abs(mine["no_pooling_se"] - e) < 1e-6 * e for e in errors), f"{mine} against {errors}"
        assert mine["n"] == row["n"]


def test_league_of_schools(cases):
    """Rule 30: the first and the last of the league of schools."""
    said = EXPECTED["exam"]["league"]["intercepts_ml"]
    _, fit = fitted(cases, "exam", "intercepts_ml")
    order = fit.groups.sort("random_effect", descending=True)["label"].to_list()
    assert order[:3] == said["top"]
    assert order[:-4:-1] == said["bottom"]


def test_three_poolings_of_intercepts(cases):
    """The shrunken mean is a weighted mean, with the weight n / (n + sigma^2 / tau^2) in closed form."""
    said, fit = fitted(cases, "radon", "intercepts")
    tau, sigma = rows(said["sds"])[0]["sd"], said["sigma"]
    effects = {str(row["label"]): row["effect"] for row in rows(said["groups"])}
    mean = rows(said["fixed"])[0]["estimate"]
    assert fit.groups.height == 85
    for row in fit.groups.iter_rows(named=True):
        weight = row["n"] / (row["n"] + sigma**2 / tau**2)
        near(row["pooling_factor"], weight, 1e-4, f"weight of {row['label']}")
        near(row["partial_pooling"], mean + effects[row["label"]], 1e-4, f"coefficient of {row['label']}")
