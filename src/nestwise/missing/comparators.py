"""The comparators by name: a Dataset in, the Dataset they would have a model fitted to out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.formula.record import parse
from nestwise.missing.complete import complete_case
from nestwise.missing.locf import locf
from nestwise.missing.plan import Plan


@dataclass(frozen=True)
class Comparator:
    """A strategy that is shown beside the others, and is usually wrong.

    Attributes
    ----------
    name : str
        As the study file has it.
    apply : callable
        (Dataset, Model, Plan) -> Dataset.
    wrong : str
        Why its answer is usually not right, a sentence.
    """

    name: str
    apply: Callable[[Dataset, Model, Plan], Dataset]
    wrong: str


def _complete_case(dataset: Dataset, model: Model, plan: Plan) -> Dataset:
    formula = parse(model.formula)
    return complete_case(dataset, formula.variables, plan.visit)


def _locf(dataset: Dataset, model: Model, plan: Plan) -> Dataset:
    formula = parse(model.formula)
    return locf(dataset, formula.outcome.columns, plan.visit, plan.baseline)


COMPARATORS: Mapping[str, Comparator] = MappingProxyType(
    {
        "complete_case": Comparator(
            "complete_case",
            _complete_case,
            "Usually wrong: those who leave differ from those who stay, and leaving them out makes the "
            "others speak for them.",
        ),
        "locf": Comparator(
            "locf",
            _locf,
            "Usually wrong: outcomes go on changing after the last visit, and values that were never seen "
            "are counted as if they were certain, so that standard errors are too small as well.",
        ),
    }
)
"""Strategies for comparison only, by name."""
