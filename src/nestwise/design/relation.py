"""Known correlation between the groups of a random term, in the order of its groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.data.relation import Relation
from nestwise.design.grouping import Factor
from nestwise.errors import Problem, Refusal


def group_relation(
    factor: Factor, labels: Sequence[str], relations: Mapping[str, Relation]
) -> FloatArray | None:
    """The relation of a factor's groups, if its column has one.

    Parameters
    ----------
    factor : Factor
        The grouping factor.
    labels : sequence of str, length J
        Its groups in the analysis rows.
    relations : mapping of str to Relation
        By column.

    Returns
    -------
    ndarray (J, J) or None
        Rows and columns in the order of `labels`; groups without rows are left out.

    Raises
    ------
    Refusal
        If groups are not in the relation, or ids restart inside parents.
    """
    relation = relations.get(factor.name)
    if relation is None:
        return None
    where = f"the key groups.{factor.name}.relation"
    if len(factor.labelled_by) > 1:
        what = f"ids of {factor.name} restart inside {factor.keys[-2]}, and a relation needs one name a group"
        raise Refusal(Problem(what, where, f"give the groups of {factor.name} ids of their own"))
    place = {label: index for index, label in enumerate(relation.labels)}
    absent = [label for label in labels if label not in place]
    if absent:
        listed = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
        what = f"{len(absent)} of {len(labels)} groups of {factor.name} are not in the relation: {listed}"
        raise Refusal(Problem(what, where, "add them to the file, or leave their rows out"))
    order = np.array([place[label] for label in labels])
    return relation.matrix[np.ix_(order, order)]
