"""F tests of the terms of the formula: all columns of a term at once, every other term kept (type III)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nestwise.fit.fixed_effects import METHOD_WORDS, FixedInference
from nestwise.results import Test
from nestwise.vocabulary import INTERCEPT

NO_REFERENCE = "none: too few groups for an F distribution with the moments of the statistic"


def term_tests(term_of: Sequence[str], inference: FixedInference) -> tuple[Test, ...]:
    """One F test for each term of the fixed part but the intercept.

    The hypothesis is that the coefficients of the term's columns, as they are coded, are all zero. For the
    terms that take part in no interaction this does not depend on the coding. A main effect beside its
    interaction is tested where the other variable is zero or at its reference level; centre covariates, or
    use marginal means, for an average over it.

    Parameters
    ----------
    term_of : sequence of str, length p
        Term of each column, as `Design.term_of`; empty for none.
    inference : FixedInference
        Any method.

    Returns
    -------
    tuple of Test
        `test` is `fixed`; without a reference distribution only the numerator degrees of freedom are given.
    """
    names = np.array(term_of, dtype=object)
    rows = []
    for term in dict.fromkeys(term_of):
        if term == INTERCEPT:
            continue
        found = inference.F(np.eye(names.size)[names == term])
        told = found.p_value is not None
        chi2 = np.isinf(found.df_den)
        words = METHOD_WORDS[inference.method]
        rows.append(
            Test(
                test="fixed",
                term=term,
                statistic=found.statistic if told else None,
                p_value=found.p_value,
                df_num=found.df_num,
                df_den=found.df_den if told and not chi2 else None,
                reference=(f"chi2({found.df_num:.0f}) / {found.df_num:.0f}" if chi2 else f"F, {words}")
                if told
                else NO_REFERENCE,
            )
        )
    return tuple(rows)
