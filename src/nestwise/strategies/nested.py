"""The model of a study against the smaller ones it holds, all on the imputations of the larger one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.design.record import Design
from nestwise.errors import NestwiseError
from nestwise.imputation.joint_tests import JointTest
from nestwise.results import Test

AGAINST = "model"
"""Kind of these tests in the table of tests; `term` is the smaller model."""
NAMES: Mapping[str, str] = {"D3": "D3 of Meng and Rubin", "D4": "D4 of Chan and Meng"}
LARGEST = 20_000_000
"""Numbers of all model matrices together, beyond which no likelihood is compared: they are held at once."""
_BOUND = "an upper bound because variances are zero on their boundary"


def against_smaller(
    completed: Iterable[Dataset], name: str, model: Model, smaller: Mapping[str, Model]
) -> tuple[tuple[Test, ...], tuple[str, ...]]:
    """Likelihood-ratio tests of a linear mixed model against smaller ones, over the imputations.

    Both models are fitted by maximum likelihood. Where the smaller one lacks a variance, zero lies on the
    boundary and the p value is an upper bound.

    Parameters
    ----------
    completed : iterable of Dataset
        The imputations of the larger model.
    name, model : str, Model
        The larger model.
    smaller : mapping of str to Model
        Models that it holds.

    Returns
    -------
    tuple of Test
        For each smaller model D3, where it has one grouping factor, and D4.
    tuple of str
        Why a model was not compared, each a sentence.
    """
    larger: list[Design] = []
    others: dict[str, list[Design]] = {other: [] for other in smaller}
    refused: dict[str, str] = {}
    for dataset in completed:
        larger.append(build_design(dataset, name, model))
        if sum(design.X.size for design in larger) > LARGEST:
            return (), (f"{name} is not tested against smaller models: the data are too large for that.",)
        for other, designs in others.items():
            try:
                designs.append(build_design(dataset, other, smaller[other]))
            except NestwiseError as error:
                refused[other] = _why(name, other, error)
    tests: list[Test] = []
    for other, designs in others.items():
        if other not in refused:
            try:
                tests += _tests(other, larger, designs)
            except NestwiseError as error:
                refused[other] = _why(name, other, error)
    return tuple(tests), tuple(refused.values())


def _why(name: str, other: str, error: NestwiseError) -> str:
    return f"{name} is not tested against {other}: {error.problems[0].what}."


def _tests(other: str, larger: list[Design], smaller: list[Design]) -> list[Test]:
    from nestwise.imputation.model_comparison import compare_models

    found = compare_models(larger, smaller)
    fewer, more = (sum(len(term.names) for term in each[0].random) for each in (smaller, larger))
    return [_row(other, test, bound=fewer < more) for test in (found.D3, found.D4) if test is not None]


def _row(other: str, test: JointTest, *, bound: bool) -> Test:
    return Test(
        AGAINST,
        other,
        test.statistic,
        test.p_value,
        df_num=float(test.df_num),
        df_den=test.df_den if np.isfinite(test.df_den) else None,
        reference=f"F, {NAMES[test.method]}" + (f", {_BOUND}" if bound else ""),
    )
