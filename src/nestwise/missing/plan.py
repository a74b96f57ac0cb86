"""What a study says of its missing data, as far as the strategies without imputation need it."""

from __future__ import annotations

from dataclasses import dataclass

from nestwise.arrays import IntArray
from nestwise.config.missing import Missing


@dataclass(frozen=True)
class Plan:
    """Columns that describe who was to be seen when.

    Attributes
    ----------
    visit : str or None
        Column that counts the scheduled visits; `None`: the study's time, or a column found to count visits.
    arm : str or None
        Column of the randomised arm, or of any groups to be told apart; constant inside a subject.
    baseline : str or None
        Column that holds the outcome before the first visit; constant inside a subject.
    """

    visit: str | None = None
    arm: str | None = None
    baseline: str | None = None


def plan_of(missing: Missing) -> Plan:
    """The plan that the section `missing` of a study file describes."""
    return Plan(missing.visit, None if missing.arm is None else missing.arm.column, missing.baseline)


@dataclass(frozen=True)
class Arms:
    """Arm of each subject.

    Attributes
    ----------
    column : str
    labels : tuple of str
        Those that have subjects, the reference first.
    codes : ndarray (N,)
    """

    column: str
    labels: tuple[str, ...]
    codes: IntArray

    @property
    def names(self) -> list[str]:
        """Label (N,) of each subject's arm."""
        return [self.labels[code] for code in self.codes.tolist()]
