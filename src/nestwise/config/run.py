"""The configuration of a run: `config/config.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PathText = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]+$")]


class Run(BaseModel):
    """Which studies are run, where their results go, and from which seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    studies: tuple[PathText, ...] = Field(min_length=1, description="study files, from the working directory")
    results: PathText = Field("results", description="folder of the results, from the working directory")
    seed: int = Field(20_240_229, ge=0, lt=2**63, description="every random draw follows from it")
    data_roots: tuple[PathText, ...] = Field(
        (),
        description="folders that study files may read from, beside their own and the working one",
    )
