"""Each completed data set analysed by the study's model: Datasets in, Fits out."""

from __future__ import annotations

from collections.abc import Iterable

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.engines import fit_model
from nestwise.results import Fit
from nestwise.seeds import seed_for


def analyse(
    completed: Iterable[Dataset],
    name: str,
    model: Model,
    engine: str,
    *,
    seed: int = 0,
    level: float = 0.95,
    cores: int = 1,
    first: int = 0,
) -> tuple[Fit, ...]:
    """Fit one model by one engine to each completed data set.

    What pooling does not use is left out: profiles, influence, groups, expected rows, the bootstrap.

    Parameters
    ----------
    completed : iterable of Dataset
        Imputations in their order; one is held at a time.
    name, model : str, Model
        The analysis, as the study file has it.
    engine : str
        One of the engines of the study file.
    seed : int
        Root seed; an engine that draws has a stream of its own in each imputation.
    level : float
        Coverage of the intervals.
    cores : int
        Chains sampled at once.
    first : int
        Number of the first imputation, where they are analysed in batches: a fit does not depend on them.

    Returns
    -------
    tuple of Fit
        One an imputation; those that were refused or failed say why in `reason`. Nothing is raised.
    """
    return tuple(
        fit_model(
            dataset, name, model, engine,
            seed=seed_for(seed, dataset.study, name, "imputation", k), level=level, cores=cores, brief=True,
        )
        for k, dataset in enumerate(completed, start=first)
    )  # fmt: skip
