"""What a report and a later reader need to know of a design, without its arrays."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.design.covariance import ResidualDesign
from nestwise.design.identification import n_parameters
from nestwise.design.mathml import shape
from nestwise.design.record import Design
from nestwise.errors import NestwiseError


def describe_model(dataset: Dataset, name: str, model: Model) -> dict[str, Any]:
    """What a report says of a model, whether a design can be made of it or not.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    name : str
        Name of the model.
    model : Model
        The model as the study file has it.

    Returns
    -------
    dict
        `design_record` and the shape of the equations; or `formula` and, under `refused`, the
        sentences that say why there is no design.
    """
    try:
        design = build_design(dataset, name, model)
    except NestwiseError as error:
        return {"study": dataset.study, "model": name, "formula": model.formula, "refused": str(error)}
    return design_record(design) | {"shape": asdict(shape(design))}


def design_record(design: Design) -> dict[str, Any]:
    """Summarise a design for `models/<model>/design.json`.

    Parameters
    ----------
    design : Design
        The model.

    Returns
    -------
    dict
        JSON-able: names, sizes, random terms, the account of the rows, notes.
    """
    flow = design.row_flow
    return {
        "study": design.study,
        "model": design.model,
        "formula": design.formula,
        "family": design.family,
        "link": design.link,
        "reml": design.reml,
        "outcome": design.outcome,
        "n": design.n,
        "n_groups": design.n_groups,
        "names": list(design.names),
        "dropped": list(design.dropped),
        "offset": design.offset is not None,
        "trials": design.trials is not None,
        "weights": design.weights is not None,
        "sampling_error": design.sampling_error is not None,
        "residual": _residual(design.residual),
        "means": [list(grid.by) for grid in design.means],
        "random": [
            {
                "group": term.group,
                "names": list(term.names),
                "correlated": term.correlated,
                "n_groups": term.n_groups,
                "memberships": 1 if term.membership is None else int(term.membership.codes.shape[1]),
                "relation": term.relation is not None,
            }
            for term in design.random
        ],
        "row_flow": {
            "n_source": flow.n_source,
            "n_used": flow.n_used,
            "groups_source": flow.groups_source,
            "groups_used": flow.groups_used,
            "excluded": [
                {"reason": reason, "rows": rows, "groups": groups} for reason, rows, groups in flow.excluded
            ],
        },
        "analysis_hash": design.analysis_hash,
        "notes": list(design.notes),
    }


def _residual(residual: ResidualDesign | None) -> dict[str, Any] | None:
    """The covariance of the residuals in words and numbers; `None` for independent ones."""
    if residual is None:
        return None
    function = residual.variance
    return {
        "structure": residual.structure,
        "heterogeneous": residual.heterogeneous,
        "subject": residual.subject,
        "n_subjects": int(residual.subjects.max()) + 1,
        "time": residual.time,
        "visits": list(residual.visit_labels) if residual.time else [],
        "by": residual.by,
        "strata": list(residual.stratum_labels) if residual.by else [],
        "variance": None if function is None else {"kind": function.kind, "name": function.name},
        "n_parameters": n_parameters(residual),
    }
