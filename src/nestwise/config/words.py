"""The base of every section of a study file, and the names that may stand in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""Names that become parts of paths: letters, digits, `_` and `-`."""
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f`]+$")]
Text = Annotated[str, StringConstraints(max_length=4000)]


class Section(BaseModel):
    """A part of the study file: frozen, and unknown keys are problems."""

    model_config = ConfigDict(frozen=True, extra="forbid")
