"""Our way to nutpie against nutpie's own, and a cache that survives."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nestwise.bayes.compile import cache_folder, cache_lock, compile_model, settle_pytensor, start_point
from nestwise.bayes.engine import pymc_model

PROBE = """
import sys, hashlib
import numpy as np
from nestwise.bayes.compile import compile_model, settle_pytensor
settle_pytensor()
from nestwise.bayes.engine import fit_pymc
from nestwise.design.record import Design, RandomTerm, RowFlow
g = np.repeat(np.arange(8), 6)
y = np.sin(np.arange(48) * 1.7) + g % 3
one = np.ones((48, 1))
term = RandomTerm("g", ("(Intercept)",), one, g, tuple(map(str, range(8))))
flow = RowFlow(48, 48, 8, 8)
rows, names = np.arange(48), ("(Intercept)",)
design = Design("s", "m", "y ~ 1 + (1 | g)", "y", y, one, names, (term,), rows, flow, "h")
fit = fit_pymc(design, priors={}, seed=1, draws=200, tune=200)
print(hashlib.sha256(fit.draws.to_numpy().tobytes()).hexdigest())
"""


def test_nutpies_own_compilation_has_the_same_density(prepared):
    import ctypes

    import nutpie

    settle_pytensor()
    model = pymc_model(prepared("slopes"))
    ours = compile_model(model)
    theirs = nutpie.compile_pymc_model(model)
    pointer = ctypes.POINTER(ctypes.c_double)
    for seed in range(5):
        point = start_point(6, seed)
        gradient, value = np.zeros(6), np.zeros(1)
        arrays = [array.ctypes.data_as(pointer) for array in (point, gradient, value)]
        status = theirs.compiled_logp_func.ctypes(6, *arrays, theirs.user_data.ctypes.data)
        expected = ours.log_density(point)
        assert status == 0
        assert value[0] == pytest.approx(float(expected[0]), abs=1e-9)
        np.testing.assert_allclose(gradient, expected[1], atol=1e-9)


def test_an_unwritable_cache_is_replaced_by_a_temporary_one(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NESTWISE_CACHE", str(blocked / "below"))
    assert not str(cache_folder()).startswith(str(tmp_path))


def test_what_a_person_sets_wins(monkeypatch):
    monkeypatch.setenv("PYTENSOR_FLAGS", "base_compiledir=/elsewhere")
    settle_pytensor()
    assert os.environ["PYTENSOR_FLAGS"].startswith("base_compiledir=/elsewhere,cxx=")
    assert os.environ["PYTENSOR_FLAGS"].count("base_compiledir") == 1


def test_a_disk_without_locks_is_no_error(monkeypatch, tmp_path):
    from pytensor.link.numba import cache

    def refuse(*_):
        raise OSError(errno.ENOSYS, "as Lustre without -o flock says")

    monkeypatch.setattr(cache, "NUMBA_CACHE_PATH", tmp_path)
    monkeypatch.setattr("fcntl.flock", refuse)
    with cache_lock():
        assert (tmp_path / "lock").exists()


@pytest.mark.slow
def test_cold_and_warm_caches_and_two_at_once_give_the_same_draws(tmp_path):
    env = os.environ | {"NESTWISE_CACHE": str(tmp_path)}
    env.pop("PYTENSOR_FLAGS", None)
    script = tmp_path / "probe.py"
    script.write_text(PROBE)

    def start():
        return subprocess.Popen([sys.executable, str(script)], env=env, stdout=subprocess.PIPE, text=True)

    killed = start()
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(timeout=9)  # somewhere in the compilation
    killed.kill()
    killed.communicate()
    together = [start(), start()]
    found = {process.communicate(timeout=300)[0] for process in together}
    found |= {start().communicate(timeout=300)[0]}
    assert len(found) == 1
    assert len(found.pop().strip()) == 64
    assert any(Path(tmp_path).rglob("*.nbi"))
