"""From a PyMC model to a compiled log density that nutpie samples, with as little compilation as possible.

`nutpie.compile_pymc_model` compiles two functions and wraps each in a C callback that no cache can keep:
four seconds a process for models that sample in a fifth of one. Here PyTensor compiles the log density and
its gradient once, and the C callback around it is cached on disk next to PyTensor's own code, under a key
that contains PyTensor's key of the graph. The data travel in a buffer, so that models of the same shape
share code. The draws come back unconstrained; the model's own transforms bring them home.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray

WRAPPER = """
def log_density_callback(size, x_, gradient_, value_, data_):
    try:
        x = carray(x_, (size,))
        gradient = carray(gradient_, (size,))
        value = carray(value_, (1,))
        {unpack}
        logp, slope = inner(x, {arguments})
        value[0] = logp.item()
        finite = np.isfinite(value[0])
        for at in range(size):
            gradient[at] = slope[at]
            finite = finite and np.isfinite(slope[at])
        return 0 if finite else 3
    except Exception:
        return 1
"""
COPY = """
def identity_callback(size, expanded, x_, out_, data_):
    x = carray(x_, (size,))
    out = carray(out_, (expanded,))
    for at in range(size):
        out[at] = x[at]
    return 0
"""


@dataclass(frozen=True)
class Compiled:
    """A compiled model.

    Attributes
    ----------
    sampler_input : nutpie.compile_pymc.CompiledPyMCModel
        What `nutpie.sample` takes.
    model : pymc.Model
        The model it was made from.
    names : tuple of str
        Unconstrained variables, in the order of the flat vector.
    shapes : tuple of tuple of int
        Their shapes.
    log_density : callable
        Flat unconstrained vector -> (value, gradient), for tests.
    """

    sampler_input: Any
    model: Any
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    log_density: Any


def cache_folder() -> Path:
    """Where compiled code is kept: `NESTWISE_CACHE`, else the user's cache folder, else a temporary one.

    The versions of PyTensor and Numba are part of the path: PyTensor's keys do not contain them.
    """
    named = os.environ.get("NESTWISE_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = Path(named) if named else user / "nestwise"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base):
            pass
    except OSError:
        base = Path(tempfile.gettempdir()) / f"nestwise-{os.getuid()}"
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return base / f"pytensor-{version('pytensor')}-numba-{version('numba')}"


def settle_pytensor() -> None:
    """Point PyTensor at our cache and away from the C compiler; without effect once it is imported.

    What a person has set in PYTENSOR_FLAGS wins.
    """
    flags = [flag for flag in os.environ.get("PYTENSOR_FLAGS", "").split(",") if flag]
    given = {flag.split("=")[0] for flag in flags}
    ours = {"base_compiledir": str(cache_folder()), "cxx": ""}
    flags += [f"{name}={value}" for name, value in ours.items() if name not in given]
    os.environ["PYTENSOR_FLAGS"] = ",".join(flags)


@contextmanager
def cache_lock() -> Iterator[None]:
    """Let one process at a time compile into a cache; one that dies lets go of it.

    Numba replaces each file at once, but two processes that add signatures of one function could leave an
    index that names the other's code. Disks of clusters that know no such locks go without.
    """
    from pytensor.link.numba.cache import NUMBA_CACHE_PATH

    with (Path(NUMBA_CACHE_PATH) / "lock").open("w") as handle:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def compile_model(model: Any) -> Compiled:
    """Compile the log density of a model for nutpie.

    Parameters
    ----------
    model : pymc.Model
        Continuous variables only; its `pm.Data` of type float64 or int64.

    Returns
    -------
    Compiled
    """
    from pytensor import config

    # Without "fast" arithmetic a model gives the same bits whether its code was compiled now, in pieces, or
    # comes whole from the cache.
    with cache_lock(), config.change_flags(numba__fastmath=False):
        return _compile(model)


def _compile(model: Any) -> Compiled:
    import pytensor.tensor as pt
    from pymc.pytensorf import compile as compile_graph
    from pytensor.graph import clone_replace, rewrite_graph

    start = model.initial_point(0)
    values = [model.rvs_to_values[variable] for variable in model.free_RVs]
    shapes = tuple(np.shape(start[value.name]) for value in values)
    sizes = [int(np.prod(shape)) for shape in shapes]
    joined = pt.TensorType("float64", shape=(sum(sizes),))("unconstrained")
    stops = np.cumsum(sizes)
    parts = {
        value: joined[stop - size : stop].reshape(shape)
        for value, size, stop, shape in zip(values, sizes, stops, shapes, strict=True)
    }
    logp = rewrite_graph(model.logp(), include=["canonicalize", "stabilize"])
    gradient = pt.concatenate([part.ravel() for part in pt.grad(logp, values)])
    outputs = clone_replace([logp, gradient], parts)
    with model:
        function = compile_graph([joined], outputs, mode="NUMBA")
    names = tuple(value.name for value in values)
    return Compiled(_for_nutpie(function, names, shapes), model, names, shapes, function)


def _for_nutpie(function: Any, names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> Any:
    from nutpie.compile_pymc import CompiledPyMCModel

    buffer, callback = _callback(function)
    stops = np.cumsum([int(np.prod(shape)) for shape in shapes])
    size = int(stops[-1])
    slices = [slice(int(stop - np.prod(shape)), int(stop)) for stop, shape in zip(stops, shapes, strict=True)]
    return CompiledPyMCModel(
        dims={},
        _coords={},
        compiled_logp_func=callback,
        compiled_expand_func=_identity(),
        initial_point_func=partial(start_point, size),
        shared_data={},
        shared_var_keys={},
        user_data=buffer,
        n_expanded=size,
        shape_info=(list(names), slices, list(shapes)),
        logp_func=function,
        expand_func=None,
        _n_dim=size,
        _shapes=dict(zip(names, shapes, strict=True)),
    )


def start_point(size: int, seed: int) -> FloatArray:
    """Where a chain starts: uniform within 1 of the origin, unconstrained standard units."""
    return np.random.Generator(np.random.PCG64(seed)).uniform(-1, 1, size)


def _callback(function: Any) -> tuple[FloatArray, Any]:
    """Buffer with the data of the graph, and the C callback that reads it."""
    import numba
    from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS

    inner = function.vm.jit_fn
    arrays = [np.ascontiguousarray(shared.get_value()) for shared in function.get_shared()]
    buffer, lines = _packed(arrays)
    arguments = ", ".join(f"data{at}" for at in range(len(arrays)))
    source = WRAPPER.format(unpack="\n        ".join(lines), arguments=arguments)
    graph_key = CACHED_SRC_FUNCTIONS.get(inner.py_func)
    pointer = numba.types.CPointer(numba.types.double)
    signature = numba.types.int64(numba.types.uint64, pointer, pointer, pointer, pointer)
    return buffer, _compiled_callback("log_density_callback", source, signature, graph_key, inner)


def _identity() -> Any:
    import numba

    pointer = numba.types.CPointer(numba.types.double)
    size = numba.types.uint64
    signature = numba.types.int64(size, size, pointer, pointer, pointer)
    return _compiled_callback("identity_callback", COPY, signature, "identity", None)


def _compiled_callback(name: str, source: str, signature: Any, key: str | None, inner: Any) -> Any:
    import numba
    from pytensor.link.numba.cache import compile_numba_function_src

    cache_key = None if key is None else sha256(f"{key}{source}{signature}".encode()).hexdigest()
    env = {"__name__": __name__, "np": np, "carray": numba.carray, "inner": inner}
    function = compile_numba_function_src(source, name, env, cache_key=cache_key)
    return numba.cfunc(signature, cache=cache_key is not None)(function)


def _packed(arrays: list[Any]) -> tuple[FloatArray, list[str]]:
    """One buffer of doubles (shapes, then contents) and the lines of code that take it apart."""
    shapes = [float(length) for array in arrays for length in array.shape]
    buffer = np.concatenate([np.array(shapes), *(array.astype(float).ravel() for array in arrays)])
    lines = [f"lengths = carray(data_, ({max(len(shapes), 1)},))"]
    lines += [f"n{at} = np.int64(lengths[{at}])" for at in range(len(shapes))]
    sizes, at = [], 0
    for array in arrays:
        sizes.append(" * ".join(f"n{at + k}" for k in range(array.ndim)) or "1")
        at += array.ndim
    lines.append(
        f"flat = carray(data_, ({len(shapes)} + {' + '.join(f'({size})' for size in sizes) or '0'},))"
    )
    lines.append(f"at = {len(shapes)}")
    at = 0
    for index, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        shape = "".join(f"n{at + k}, " for k in range(array.ndim))
        cast = ".astype(np.int64)" if array.dtype.kind == "i" else ""
        lines.append(f"data{index} = flat[at : at + {size}].reshape(({shape})){cast}")
        lines.append(f"at += {size}")
        at += array.ndim
    return buffer, lines
