"""Joint tests of the terms of the fixed part."""

from __future__ import annotations

import numpy as np

from nestwise.design.record import Design
from nestwise.fit.fixed_effects import METHOD_WORDS, FixedInference
from nestwise.results import Test
from nestwise.vocabulary import INTERCEPT


def term_tests(design: Design, inference: FixedInference) -> tuple[Test, ...]:
    """F tests of the terms of the formula, all columns of each at once; the intercept is left out.

    Parameters
    ----------
    design : Design
        Its `term_of` names the term of each column; without it there are no tests.
    inference : FixedInference
        By any method.
    """
    found = []
    for term in dict.fromkeys(design.term_of):
        if term == INTERCEPT:
            continue
        L = np.eye(len(design.names))[[place for place, of in enumerate(design.term_of) if of == term]]
        test = inference.F(L)
        found.append(
            Test(
                test="fixed",
                term=term,
                statistic=test.statistic,
                p_value=test.p_value,
                df_num=test.df_num,
                df_den=float(test.df_den) if np.isfinite(test.df_den) else None,
                reference=f"F, {METHOD_WORDS[inference.method]}",
            )
        )
    return tuple(found)
