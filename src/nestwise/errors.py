"""The ways nestwise says no: one sentence each, with the place and the way out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, said for a person.

    Attributes
    ----------
    what : str
        What is wrong, without a closing full stop.
    where : str
        File, key, row or column, as exactly as it is known.
    way_out : str
        What the person can do about it, without a closing full stop.
    """

    what: str
    where: str = ""
    way_out: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"; {self.way_out}" if self.way_out else ""
        sentence = f"{place}{self.what}{remedy}"
        return sentence if sentence.endswith(("?", ".", "!")) else f"{sentence}."


class NestwiseError(Exception):
    """Base of every error a person can cause and mend.

    Parameters
    ----------
    problems : Problem or sequence of Problem
        Everything found wrong, not only the first.
    """

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        listed: Iterable[Problem] = [problems] if isinstance(problems, Problem) else problems
        self.problems: tuple[Problem, ...] = tuple(listed)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class StudyError(NestwiseError):
    """The study file or the configuration is wrong."""


class DataError(NestwiseError):
    """The data cannot be read, or contradict the study file."""


class FormulaError(NestwiseError):
    """A formula cannot be understood, or asks for what is not allowed."""


class Refusal(NestwiseError):  # noqa: N818 - a refusal is an answer, not an accident
    """The request is understood and is not answered, because the answer would mislead."""
