"""An unstructured MMRM of a small trial: how often a true null hypothesis is rejected.

24 patients in two arms, four visits, drop-out that depends on the last outcome seen (missing at random), no
difference between the arms. Kenward-Roger's test of the last visit keeps 5 %, and Satterthwaite's is somewhat
liberal, as the literature has it; the naive z test is not near it.
"""

import numpy as np
import pytest
from scipy import stats

from nestwise.design.covariance import ResidualDesign
from nestwise.design.record import Design, RowFlow
from nestwise.fit.marginal_solution import mmrm_inference, solve_mmrm

T, S, TRIALS = 4, 24, 1000
METHODS = ("kenward_roger", "satterthwaite", "normal")


def trial(draw):
    root = np.linalg.cholesky(0.7 ** np.abs(np.subtract.outer(np.arange(T), np.arange(T))))
    y = draw.normal(size=(S, T)) @ root.T * np.array([1.0, 1.2, 1.5, 1.8])
    seen = np.ones((S, T), dtype=bool)
    for t in range(1, T):
        stays = draw.random(S) > 0.08 / (1 + np.exp(-y[:, t - 1]))
        seen[:, t] = seen[:, t - 1] & stays
    who, visits = np.nonzero(seen)
    arm = who % 2
    cells = [(visits == t) * 1.0 for t in range(T)]
    residual = ResidualDesign(
        structure="unstructured",
        heterogeneous=True,
        subject="id",
        subjects=who,
        time="visit",
        visits=visits,
        visit_labels=tuple(map(str, range(T))),
        times=np.arange(T, dtype=float),
        by="",
        strata=np.zeros(who.size, dtype=np.int64),
        stratum_labels=("",),
    )
    return Design(
        study="s",
        model="m",
        formula="y ~ 0 + visit + visit:arm",
        outcome="y",
        y=y[seen],
        X=np.column_stack([*cells, *(cell * arm for cell in cells)]),
        names=tuple(f"x{i}" for i in range(2 * T)),
        random=(),
        rows=np.arange(who.size),
        row_flow=RowFlow(who.size, who.size, S, S),
        analysis_hash="h",
        residual=residual,
    )


@pytest.mark.slow
def test_type_one_error_of_the_last_visit():
    draw = np.random.default_rng(20)
    last = np.eye(2 * T)[[-1]]
    rejected = dict.fromkeys(METHODS, 0)
    estimates, errors = [], []
    for _ in range(TRIALS):
        design = trial(draw)
        state = solve_mmrm(design)
        assert state.minimum.converged
        for method in METHODS:
            found = mmrm_inference(design, state, method)
            statistic = found.beta[-1] / found.std_error[-1]
            p_value = 2 * stats.t.sf(abs(statistic), float(found.t(last)[0]))
            rejected[method] += p_value < 0.05
            if method == "kenward_roger":
                estimates.append(found.beta[-1])
                errors.append(found.std_error[-1])
    rate = {method: count / TRIALS for method, count in rejected.items()}
    noise = np.sqrt(0.05 * 0.95 / TRIALS)
    assert abs(rate["kenward_roger"] - 0.05) < 3.5 * noise
    assert rate["kenward_roger"] <= rate["satterthwaite"] < 0.09
    assert rate["normal"] > rate["satterthwaite"]
    # Kenward and Roger's standard error is that of the estimates over the trials (4 Monte Carlo errors)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(
        np.std(estimates), rel=4 / np.sqrt(2 * TRIALS)
    )
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(TRIALS)
