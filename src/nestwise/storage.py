"""Files that are whole or absent: written beside their place, then renamed into it."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl


def _partial(final: Path) -> Path:
    """Always the same name for the same file, so that what a killed process left is overwritten, not kept."""
    return final.with_name(f".{final.name}.partial")


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path next to `path` and rename it into place on success.

    Parameters
    ----------
    path : path-like
        Where the finished file will stand; its folder is made if absent.

    Yields
    ------
    Path
        Where to write. If the block raises, nothing appears at `path`.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(final)
    try:
        yield partial
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Like `whole_file` for a folder: the old one, if any, is replaced by the finished new one."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(final)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        shutil.rmtree(final, ignore_errors=True)
        partial.replace(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text as UTF-8."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as JSON; NaN and infinities are errors, because JSON has neither."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False, default=str) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text())


def write_parquet(path: str | os.PathLike[str], frame: pl.DataFrame | pl.LazyFrame) -> None:
    """Write a frame as Parquet; a lazy one is streamed and never held whole in memory."""
    with whole_file(path) as partial:
        if isinstance(frame, pl.LazyFrame):
            frame.sink_parquet(partial)
        else:
            frame.write_parquet(partial)
