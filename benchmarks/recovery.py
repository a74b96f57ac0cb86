"""Strategies for missing data over simulated studies: bias and coverage; prints a section of Markdown.

The studies are those of `tests/recovery`, which hold the same numbers against their limits.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "recovery"))
imputation = importlib.import_module("test_recovery_imputation")
weighted = importlib.import_module("test_recovery_wgee")

STUDIES = {
    "random_intercept": ("x, z of rows and w of groups lack", ("(Intercept)", "x", "z", "w")),
    "interaction": ("x of x * w lacks, its slope varies", ("(Intercept)", "x", "w", "x:w")),
    "drop_out": ("the outcome lacks: drop-out", ("(Intercept)", "t", "arm", "t:arm")),
}
ASKED = "difference of the arms at the last visit"


def of_imputation() -> Iterator[tuple[str, ...]]:
    """A row a study and strategy: its most biased coefficient, coverage of all."""
    for name, (said, terms) in STUDIES.items():
        answers, truth = imputation.studies(getattr(imputation, name))
        for strategy, rows in answers.items():
            bias, coverage, _ = imputation.summary(rows, truth.size)
            worst = int(np.abs(bias).argmax())
            held = f"{100 * coverage.min():.1f} to {100 * coverage.max():.1f}"
            yield said, strategy, f"{bias[worst]:+.2f}", f"`{terms[worst]}`", held


def of_weighting() -> Iterator[tuple[str, ...]]:
    """A row an outcome and strategy."""
    for family in ("gaussian", "binomial"):
        for strategy, found in weighted.answers(family).items():
            bias = (found.estimate.mean() - weighted.TRUTH) / found.std_error.mean()
            yield f"GEE, {family}: drop-out", strategy, f"{bias:+.2f}", ASKED, f"{100 * found.coverage:.1f}"


def introduction() -> str:
    """What the table is of, and how far its numbers are sure."""
    errors = [1 / np.sqrt(studies) for studies in (imputation.STUDIES, weighted.STUDIES)]
    spreads = [100 * np.sqrt(0.95 * 0.05) * error for error in errors]
    return f"""## Missing data: bias and coverage over simulated studies

{imputation.STUDIES} studies of {imputation.J} groups, about 30% of the values of each incomplete variable
missing at random, {imputation.M} imputations; {weighted.STUDIES} trials of {weighted.N} subjects for the GEE.
The largest bias of a coefficient is in mean standard errors of the strategy (Monte Carlo error
{errors[0]:.2f}, GEE {errors[1]:.2f}), the coverage of 95% intervals in percent (error {spreads[0]:.1f},
GEE {spreads[1]:.1f}). `blind` is doubly robust with a drop-out model that does not know the outcome; its
regressions are right for normal outcomes only.
"""


def main() -> None:
    """Print the section."""
    print(introduction())
    print("| Study | Strategy | Largest bias, SE | Of | Coverage |")
    print("| --- | --- | ---: | --- | ---: |")
    for row in (*of_imputation(), *of_weighting()):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
