"""Draws of one variable given all others: parameters by Gibbs steps, then the gaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from nestwise.arrays import FloatArray, IntArray
from nestwise.errors import Problem, Refusal
from nestwise.imputation import latent, normal
from nestwise.imputation.columns import CompletedData
from nestwise.imputation.matching import DONORS, donors
from nestwise.imputation.target import Part, Target

FIRST_STEPS = 50
"""Gibbs steps at the first visit of a variable: its parameters start at guesses."""
RIDGE = 1e-5
"""Prior precision of standardised coefficients of a normal model, a share of the rows (as in mice)."""
COEFFICIENT_SD = 2.5
"""Prior SD of standardised coefficients of latent models: separation would let them grow without end."""
INTERCEPT_SD = 10.0
RESIDUAL: Mapping[str, int] = {
    "normal": normal.COMMON,
    "heterogeneous": normal.BY_GROUP,
    "matching": normal.COMMON,
    "binary": normal.UNIT,
    "ordinal": normal.UNIT,
    "nominal": normal.UNIT,
    "count": normal.LATENT,
}
"""Residual variance by method."""


@dataclass(frozen=True)
class State:
    """Where the Gibbs sampler of one regression stands; its arrays are changed in place.

    Attributes
    ----------
    parameters : tuple of ndarray
        beta (p,), b (J, q), c (G,), Sigma (q, q), its inverse, auxiliary scales (q,), s2 (J,), hyper (5,).
    means : tuple of ndarray
        beta, b, c given the variances of the last step.
    response : ndarray (r,)
        Latent or standardised response of the observed units.
    cuts : ndarray (K - 1,)
        Thresholds, the first 0; of an ordinal or binary variable.
    spread : ndarray (K - 1,)
        Standard deviations of the proposals for them.
    """

    parameters: tuple[FloatArray, ...]
    means: tuple[FloatArray, ...]
    response: FloatArray
    cuts: FloatArray
    spread: FloatArray


def first_state(target: Target, part: Part, q: int, scale: tuple[FloatArray, float]) -> State:
    """The starting point of one regression with q varying coefficients."""
    p, J, G = target.kept.size + 1, target.units.outer.size, target.units.n_outer
    residual = RESIDUAL[target.method]
    s2 = 1.0 if residual == normal.UNIT else 0.5
    hyper = np.array([0.3, 1.0, 10.0, s2, 1.0])
    beta, Sigma = np.zeros(p), 0.3 * np.eye(q)
    if residual == normal.UNIT:
        counts = np.bincount(part.response.astype(np.int64), minlength=2)
        ends = ndtri(np.clip(np.cumsum(counts)[:-1] / counts.sum(), 0.01, 0.99))
        beta[0], cuts = -ends[0], ends - ends[0]
        response = np.zeros(part.response.size)
        spread = 1.2 / np.sqrt((1.0 + counts[:-1]) * max(counts.size - 2, 1))
    else:
        cuts = spread = np.zeros(1)
        counted = residual == normal.LATENT
        response = np.log(part.response + 0.5) if counted else (part.response - scale[0]) / scale[1]
        beta[0] = response.mean()
    parameters = (
        beta, np.zeros((J, q)), np.zeros(G), Sigma, np.linalg.inv(Sigma), np.ones(q), np.full(J, s2), hyper
    )  # fmt: skip
    return State(parameters, (np.zeros(p), np.zeros((J, q)), np.zeros(G)), response, cuts, spread)


def linear_predictor(
    target: Target, X: FloatArray, Z: FloatArray, units: IntArray, effects: tuple[FloatArray, ...]
) -> FloatArray:
    """``X beta + Z b + c`` of some units, whose rows X and Z are."""
    beta, b, c = effects
    inner = target.units.inner[units]
    eta = X @ beta + np.einsum("iu,iu->i", Z, b[inner])
    return np.asarray(eta + c[target.units.outer[inner]] if target.units.n_outer else eta)


class Conditional:
    """The draws of one variable in one chain: its target, and where its Gibbs samplers stand."""

    def __init__(self, target: Target, rng: np.random.Generator) -> None:
        self.target = target
        self.states: list[State] = []
        self._rng = rng

    def draw(self, data: CompletedData, steps: int) -> FloatArray:
        """New values of the missing units (r,), on the variable's own scale.

        Raises
        ------
        Refusal
            If the imputation model is singular.
        """
        X, Z = self.update(data, steps, self.target.parts)
        etas = self.linear_predictors(X, Z, self.target.missing)
        if self.target.method == "matching":
            return self._matched(X, Z, etas[0])
        return DRAWS[self.target.method](self, etas, data.scales[self.target.variable.name])

    def update(self, data: CompletedData, steps: int, parts: Sequence[Part]) -> tuple[FloatArray, FloatArray]:
        """Draw the parameters given the response of some units; the matrices (U, p) and (U, q) of all.

        Raises
        ------
        Refusal
            If the imputation model is singular.
        """
        scale = data.scales[self.target.variable.name]
        X, Z = self.target.matrices(data)
        if not self.states:
            self.states = [first_state(self.target, part, Z.shape[1], scale) for part in parts]
            steps = max(steps, FIRST_STEPS)
        for place, part in enumerate(parts):
            state = self.states[place]
            if RESIDUAL[self.target.method] in (normal.COMMON, normal.BY_GROUP):
                state = replace(state, response=(part.response - scale[0]) / scale[1])
            elif state.response.size != part.response.size:
                state = replace(state, response=np.zeros(part.response.size))
            self._update(part, state, X[part.index], Z[part.index], steps)
            self.states[place] = state
        return X, Z

    def linear_predictors(self, X: FloatArray, Z: FloatArray, units: IntArray) -> list[FloatArray]:
        """Of each regression, the linear predictors (r,) of some units with the drawn parameters."""
        return [
            linear_predictor(self.target, X[units], Z[units], units, state.parameters[:3])
            for state in self.states
        ]

    def spreads(self, scale: float) -> tuple[float, float]:
        """Residual SD and SD of the random intercept of the first regression, on the response's scale."""
        Sigma, s2 = self.states[0].parameters[3], self.states[0].parameters[6]
        size = scale if RESIDUAL[self.target.method] in (normal.COMMON, normal.BY_GROUP) else 1.0
        return size * float(np.sqrt(s2.mean())), size * float(np.sqrt(Sigma[0, 0])) if Sigma.size else 0.0

    def _update(self, part: Part, state: State, X: FloatArray, Z: FloatArray, steps: int) -> None:
        """Gibbs steps of one regression, the latent responses included."""
        kind = RESIDUAL[self.target.method]
        products = normal.crossproducts(X, Z, part.start)
        prior = _prior_precision(kind, X)
        latent_steps = steps if kind in (normal.UNIT, normal.LATENT) else 1
        for _ in range(latent_steps):
            self._latent(kind, part, state, X, Z)
            if not normal.gibbs(
                self._rng, steps // latent_steps, kind, X, Z, state.response, part.start,
                self.target.units.outer, products, prior, *state.parameters, *state.means,
            ):  # fmt: skip
                name = self.target.variable.name
                raise Refusal(
                    Problem(
                        f"the model that predicts {name} from the other variables is singular",
                        f"imputation model of {name}",
                        "leave out variables that say the same, or choose the method matching",
                    )
                )

    def _latent(self, kind: int, part: Part, state: State, X: FloatArray, Z: FloatArray) -> None:
        if kind not in (normal.UNIT, normal.LATENT):
            return
        eta = linear_predictor(self.target, X, Z, part.index, state.parameters[:3])
        if kind == normal.LATENT:
            latent.log_rates(self._rng, part.response, eta, state.parameters[6][0], 3, state.response)
            return
        codes = part.response.astype(np.int64)
        if state.cuts.size > 1:
            for _ in range(3):
                latent.thresholds(self._rng, codes, state.cuts, eta, state.spread)
        latent.latent_responses(self._rng, codes, state.cuts, eta, state.response)

    def _matched(self, X: FloatArray, Z: FloatArray, drawn: FloatArray) -> FloatArray:
        part, state = self.target.parts[0], self.states[0]
        index = part.index
        expected = linear_predictor(self.target, X[index], Z[index], index, state.means)
        return np.asarray(part.response[donors(self._rng, expected, drawn, DONORS)])

    def _normal(self, etas: list[FloatArray], scale: tuple[FloatArray, float]) -> FloatArray:
        variances = self.states[0].parameters[6][self.target.units.inner[self.target.missing]]
        drawn = etas[0] + np.sqrt(variances) * self._rng.standard_normal(etas[0].size)
        return np.asarray(drawn * scale[1] + scale[0])

    def _category(self, etas: list[FloatArray], _: tuple[FloatArray, float]) -> FloatArray:
        return np.asarray(latent.categories(self._rng, self.states[0].cuts, etas[0]))

    def _nominal(self, etas: list[FloatArray], _: tuple[FloatArray, float]) -> FloatArray:
        """Successive choices: each category against all later ones."""
        drawn = np.zeros(self.target.missing.size)
        for k, eta in enumerate(etas):
            later = eta + self._rng.standard_normal(eta.size) > 0
            drawn[(drawn == k) & later] = k + 1
        return drawn

    def _count(self, etas: list[FloatArray], _: tuple[FloatArray, float]) -> FloatArray:
        spread = np.sqrt(self.states[0].parameters[6][0])
        log_rate = etas[0] + spread * self._rng.standard_normal(etas[0].size)
        rate = np.exp(np.minimum(log_rate, latent.LARGEST_LOG_RATE))
        return np.asarray(self._rng.poisson(rate), dtype=np.float64)


type _Draw = Callable[[Conditional, list[FloatArray], tuple[FloatArray, float]], FloatArray]

DRAWS: Mapping[str, _Draw] = {
    "normal": Conditional._normal,
    "heterogeneous": Conditional._normal,
    "binary": Conditional._category,
    "ordinal": Conditional._category,
    "nominal": Conditional._nominal,
    "count": Conditional._count,
}
"""How gaps are drawn from their linear predictors, by method."""


def _prior_precision(kind: int, X: FloatArray) -> FloatArray:
    n, p = X.shape
    if kind in (normal.COMMON, normal.BY_GROUP):
        return np.full(p, RIDGE * n)
    precision = np.full(p, COEFFICIENT_SD**-2.0)
    precision[0] = INTERCEPT_SD**-2.0
    return precision
