"""Draws of a study's gaps, and the completed data sets they make."""

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Derivation, Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.data.derive import derive
from nestwise.design.build import build_design
from nestwise.errors import DataError, Refusal
from nestwise.impute.draw import Chains, draw, joined, load_draws, save_draws
from nestwise.impute.impute import imputations, impute

MODEL = Model(formula="y ~ xw + xb + w + k + age + (1 | g)")
QUICK = Chains(iterations=2, steps=2)


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(30), 6)

    def holes(values, share=0.2):
        return [None if rng.random() < share else value for value in np.asarray(values).tolist()]

    w = [None if group < 5 else float(group) for group in range(30)]
    frame = pl.DataFrame(
        {
            ".row": np.arange(1, 181),
            "g": [f"g{group}" for group in g],
            "y": holes(rng.normal(size=180) + rng.normal(size=30)[g]),
            "x": holes(rng.normal(size=180)),
            "w": [w[group] if place % 6 else None for place, group in enumerate(g)],
            "k": holes(np.array(["a", "b", "c"])[rng.integers(0, 3, 180)]),
            "age": holes(rng.integers(20, 60, 180)),
            "other": np.arange(180),
        }
    ).with_columns(
        pl.col("g").cast(pl.Enum([f"g{j}" for j in range(30)])), pl.col("k").cast(pl.Enum(["a", "b", "c"]))
    )
    derivations = tuple(
        Derivation.model_validate({kind: "x", "group": "g", "as": name})
        for kind, name in (("within", "xw"), ("between", "xb"))
    )
    types = {"g": "categorical", "k": "categorical", "age": "count"}
    names = [*frame.columns[1:], "xw", "xb"]
    variables = {name: VariableInfo(name, types.get(name, "continuous"), True) for name in names}
    return Dataset(
        "s", derive(frame.lazy(), derivations, {"g": None}), variables, {"g": None}, None, derivations
    )


@pytest.fixture(scope="module")
def draws(dataset):
    return draw(dataset, "m", MODEL, 3, 1, QUICK)


def test_a_completed_data_set_keeps_what_was_observed(dataset, draws):
    before, after = dataset.frame.collect(), impute(dataset, draws, 2).frame.collect()
    assert after.columns == before.columns
    assert after.schema == before.schema
    assert not sum(after.null_count().row(0))
    for name in ("y", "x", "w", "k", "age", "other"):
        seen = before[name].is_not_null()
        assert after[name].filter(seen).equals(before[name].filter(seen))


def test_derived_variables_are_those_of_the_completed_data(dataset, draws):
    after = impute(dataset, draws, 1).frame.collect()
    means = after["x"].to_numpy().reshape(30, 6).mean(axis=1).repeat(6)
    np.testing.assert_allclose(after["xb"], means)
    np.testing.assert_allclose(after["xw"] + after["xb"], after["x"])
    assert build_design(impute(dataset, draws, 1), "m", MODEL).n == 180


def test_a_variable_of_groups_is_one_number_a_group(dataset, draws):
    after = impute(dataset, draws, 3).frame.collect()["w"].to_numpy().reshape(30, 6)
    assert (after == after[:, :1]).all()
    assert len(np.unique(after[:5, 0])) == 5
    (drawn,) = [each for each in draws.fillings if each.variable == "w" and each.method == "normal"]
    assert drawn.values.shape == (3, 5)
    assert drawn.level == "g"


def test_imputation_k_is_the_same_however_many_there_are(dataset, draws):
    alone = draw(dataset, "m", MODEL, [2], 1, QUICK)
    for one, all_of_them in zip(alone.fillings, draws.fillings, strict=True):
        np.testing.assert_array_equal(one.values[0], all_of_them.values[1])
    together = joined([draw(dataset, "m", MODEL, [3, 1], 1, QUICK), alone])
    assert together.numbers == (1, 2, 3)
    np.testing.assert_array_equal(together.fillings[0].values, draws.fillings[0].values)
    with pytest.raises(DataError, match="do not belong together"):
        joined([alone, alone])


def test_imputations_differ_and_other_seeds_too(dataset, draws):
    frames = [each.frame.collect() for each in imputations(dataset, draws)]
    assert not frames[0].equals(frames[1])
    other = draw(dataset, "m", MODEL, 1, 2, QUICK)
    assert not np.array_equal(other.fillings[0].values[0], draws.fillings[0].values[0])


def test_draws_are_the_same_from_their_file(dataset, draws, tmp_path):
    save_draws(draws, tmp_path / "draws.npz")
    read = load_draws(tmp_path / "draws.npz")
    assert (read.numbers, read.seeds, read.methods) == (draws.numbers, draws.seeds, draws.methods)
    assert impute(dataset, read, 2).frame.collect().equals(impute(dataset, draws, 2).frame.collect())
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="holds no imputations"):
        load_draws(tmp_path / "bad.npz")


def test_nothing_missing_is_unchanged(dataset, draws):
    whole = impute(dataset, draws, 1)
    none = draw(whole, "m", MODEL, 2, 1, QUICK)
    assert none.fillings == ()
    assert impute(whole, none, 2) is whole


def test_a_count_analysed_as_normal_is_not_rounded(dataset):
    model = Model(formula="age ~ x + (1 | g)")
    filled = impute(dataset, draw(dataset, "m", model, 1, 1, QUICK), 1)
    ages = filled.frame.collect()["age"]
    assert ages.dtype == pl.Float64
    assert (ages != ages.round()).any()
    assert filled.variables["age"].type == "continuous"


def test_an_imputation_that_was_not_drawn_is_refused(dataset, draws):
    with pytest.raises(Refusal, match="imputation 9 of the model m was not drawn"):
        impute(dataset, draws, 9)


def test_too_many_failures_are_refused(dataset, monkeypatch):
    from nestwise.errors import Problem
    from nestwise.impute import draw as module

    def fails(*_):
        raise Refusal(Problem("the model that predicts x is singular", "", "leave it out"))

    monkeypatch.setattr(module, "run_chain", fails)
    with pytest.raises(Refusal, match="2 of 2 imputations could not be drawn; the first: the model that"):
        draw(dataset, "m", MODEL, 2, 1, QUICK)
