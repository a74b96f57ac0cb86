"""Data sets made on the spot, as `nestwise.data.prepare` would hand them on."""

import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design


def _kind(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Enum):
        return "categorical"
    return "date" if dtype.is_temporal() else "continuous"


@pytest.fixture
def make_dataset():
    def make(frame, *, within=None, derivations=(), ordinal=()):
        frame = pl.DataFrame(frame)
        if ".row" not in frame.columns:
            frame = frame.with_row_index(".row", offset=1)
        # text becomes Enum, its levels in order of appearance
        frame = frame.with_columns(
            pl.col(name).cast(pl.Enum(frame[name].drop_nulls().unique(maintain_order=True)))
            for name, dtype in frame.schema.items()
            if dtype == pl.String
        )
        variables = {
            name: VariableInfo(
                name,
                "ordinal" if name in ordinal else _kind(dtype),
                True,
                tuple(dtype.categories) if isinstance(dtype, pl.Enum) else (),
            )
            for name, dtype in frame.schema.items()
            if name != ".row"
        }
        return Dataset("study", frame.lazy(), variables, within or {}, None, tuple(derivations))

    return make


@pytest.fixture
def design_of(make_dataset):
    def make(frame, formula, *, model=None, **options):
        return build_design(make_dataset(frame, **options), "model", Model(formula=formula, **(model or {})))

    return make
