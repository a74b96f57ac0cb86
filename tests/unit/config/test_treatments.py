"""Which fits the strategies for missing data ask for, and what cannot be carried out."""

import pytest

from nestwise.config.study import Study
from nestwise.config.treatments import draws_kind, strategies_of, treatments, why_not


def study(strategies, engines=("lmm", "gee"), own=None, **missing):
    model = {"formula": "y ~ arm + (1 | id)", "engines": list(engines)}
    return Study.model_validate(
        {
            "title": "t",
            "data": {"source": "dataset:radon"},
            "groups": {"id": {}},
            "models": {"m": model | ({"strategies": own} if own is not None else {})},
            "missing": {"strategies": strategies} | missing,
        }
    )


ARM = {"column": "arm", "reference": "a"}


def test_each_strategy_goes_with_the_engines_that_can_carry_it_out():
    found = treatments(study(["mi", "observed", "wgee", "bayes", "j2r"], ("lmm", "gee", "pymc"), arm=ARM))
    assert [(each.engine, each.strategy) for each in found] == [
        ("lmm", "mi"), ("gee", "mi"), ("gee", "wgee"), ("pymc", "bayes"), ("lmm", "j2r"), ("gee", "j2r"),
    ]  # fmt: skip


def test_a_shift_is_a_fit_of_its_own():
    found = treatments(study(["delta"], ["lmm"], delta=[0, 2.5]))
    assert [each.label for each in found] == ["delta-0", "delta-1"]
    assert {draws_kind(each.label) for each in found} == {"mi"}


@pytest.mark.parametrize(("label", "kind"), [("mi", "mi"), ("cir", None), ("wgee", None), ("locf", None)])
def test_imputations_that_a_treatment_takes(label, kind):
    assert draws_kind(label) == kind


def test_a_model_may_have_strategies_of_its_own():
    given = study(["mi", "locf"], own=["observed"])
    assert strategies_of(given, "m") == ("observed",)
    assert treatments(given) == ()


@pytest.mark.parametrize(
    ("given", "strategy", "word"),
    [
        (study(["wgee"], ["lmm"]), "wgee", "engine gee"),
        (study(["bayes"], ["lmm"]), "bayes", "engine pymc"),
        (study(["delta"]), "delta", "missing.delta"),
        (study(["j2r"]), "j2r", "missing.arm"),
    ],
)
def test_what_cannot_be_carried_out_is_a_sentence_with_a_way_out(given, strategy, word):
    assert word in why_not(given, "m", strategy)
    assert treatments(given) == ()
