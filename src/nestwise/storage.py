"""Files that are whole or absent: written beside their place, then renamed into it."""

import glob
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

HOST = sha256(platform.node().encode()).hexdigest()[:8]


def _partial(final: Path) -> Path:
    """A name of this process's own beside `final`, after clearing what processes that died left there.

    A process may outlive the run that started it, and the next run may write the same file meanwhile:
    neither may touch what the other has begun.
    """
    for left in final.parent.glob(f".{glob.escape(final.name)}.{HOST}-*.partial"):
        if not alive(int(left.name.removesuffix(".partial").rpartition("-")[2])):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    return final.with_name(f".{final.name}.{HOST}-{os.getpid()}.partial")


def alive(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
        _replace_folder(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace_folder(partial: Path, final: Path, attempts: int = 5) -> None:
    """Rename over an old folder; another process may do the same between the removal and the renaming."""
    for attempt in range(attempts):
        shutil.rmtree(final, ignore_errors=True)
        try:
            partial.replace(final)
        except OSError:
            if attempt == attempts - 1:
                raise
        else:
            return


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
