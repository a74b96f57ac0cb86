"""Draws of a covariate that are compatible with the analysis model: interactions, squares, random slopes.

The gaps of a covariate x are drawn from ``p(x | other covariates) p(y | x, other covariates)``, the second
factor being the analysis model itself (Goldstein, Carpenter & Browne 2014; Bartlett et al. 2015). Both have
parameters drawn from the completed data. A normal x is proposed from the first factor and accepted by the
second (Metropolis); a category is drawn from its exact probabilities. No term is "turned around": what is
linear for y given x need not be linear for x given y.

Binary outcomes have a probit here where the analysis has a logit; on the probabilities that decide which
values are likely the two hardly differ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import log_ndtr, ndtr

from nestwise.arrays import FloatArray
from nestwise.imputation.columns import CompletedData, Source
from nestwise.imputation.conditional import Conditional
from nestwise.imputation.record import Incomplete
from nestwise.imputation.target import Target, make_target, parts_of

FAMILIES = ("gaussian", "binomial")
"""Families of analysis models that covariates are drawn with."""
TRIES, FIRST_TRIES = 10, 100
"""Proposals for each gap at one visit, and at the first, which starts at random values."""
STEP = 0.5
"""Spread of every other proposal, a step from the current value, in residual SDs of the covariate."""
COVARIATE_METHODS = {"continuous": "normal", "count": "normal"}
"""Model of a covariate without the outcome; that of its kind for the others."""


def analysis_sources(incomplete: Incomplete) -> tuple[Source, ...]:
    """The fixed part of the analysis model: its variables, the group means it names, its products."""
    names = [each.name for each in incomplete.variables if each.name not in incomplete.auxiliary]
    names = [name for name in names if name != incomplete.outcome]
    means = [Source((name,), f) for name in incomplete.contextual for f in range(len(incomplete.factors))]
    products = [
        Source(each.factors) for each in incomplete.products if incomplete.outcome not in each.factors
    ]
    return tuple(dict.fromkeys([*(Source((name,)) for name in names), *means, *products]))


class SubstantiveConditional:
    """The draws of one covariate in one chain: its own model, the analysis model, and where both stand."""

    def __init__(
        self, incomplete: Incomplete, target: Target, data: CompletedData, rng: np.random.Generator
    ) -> None:
        outcome = incomplete.variable(incomplete.outcome)
        own = tuple(source for source in target.predictors if outcome.name not in source.factors)
        method = COVARIATE_METHODS.get(target.variable.kind, target.variable.kind)
        model = "normal" if incomplete.family == "gaussian" else "binary"
        self.target = target
        self._rng = rng
        # both models are drawn given completed values, so that nothing counts as missing
        filled = replace(target.variable, values=data.values[target.variable.name])
        response = replace(outcome, values=data.values[outcome.name])
        self._covariate = Conditional(
            replace(make_target(incomplete, filled, method, data, own), slopes=()), rng
        )
        self._model = Conditional(
            make_target(incomplete, response, model, data, analysis_sources(incomplete)), rng
        )

    def spreads(self, scale: float) -> tuple[float, float]:
        """Residual SD and SD of the random intercept of the covariate's own model."""
        return self._covariate.spreads(scale)

    def draw(self, data: CompletedData, steps: int) -> FloatArray:
        """New values of the missing units (r,), on the variable's own scale.

        Raises
        ------
        Refusal
            If one of the two models is singular.
        """
        first = not self._model.states
        X, Z = self._updated(self._covariate, data, steps, first)
        self._updated(self._model, data, steps, first)
        etas = self._covariate.linear_predictors(X, Z, self.target.missing)
        if self._covariate.target.method == "normal":
            return self._metropolis(data, etas[0], FIRST_TRIES if first else TRIES)
        return self._category(data, etas)

    def _updated(
        self, model: Conditional, data: CompletedData, steps: int, first: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Draw the parameters of one of the two models given completed values.

        At the first visit the gaps hold random values, which would draw every effect toward zero: only rows
        that have the covariate count.
        """
        target = model.target
        values = data.values[target.variable.name][target.units.row_of]
        index = np.argsort(target.units.inner, kind="stable")
        if first:
            seen = ~self.target.variable.missing[target.units.row_of]
            index = index[seen[index]]
        return model.update(
            data, steps, parts_of(target.variable, target.method, target.units, index, values)
        )

    def _metropolis(self, data: CompletedData, eta: FloatArray, tries: int) -> FloatArray:
        """Proposals from the covariate's own model and steps from the current value, in turn."""
        name = self.target.variable.name
        center, scale = data.scales[name]
        inner = self._covariate.target.units.inner[self.target.missing]
        spread = np.sqrt(self._covariate.states[0].parameters[6][inner])
        eta = eta * scale + center[0]
        spread = spread * scale
        current = data.values[name][self.target.units.row_of][self.target.missing]
        support = self._support(data)
        for attempt in range(tries):
            noise = spread * self._rng.standard_normal(eta.size)
            near = bool(attempt % 2)
            proposal = current + STEP * noise if near else eta + noise
            self._place(data, proposal)
            proposed = self._support(data)
            ratio = proposed - support
            if near:
                ratio += 0.5 * ((current - eta) ** 2 - (proposal - eta) ** 2) / spread**2
            taken = np.log(self._rng.random(eta.size)) < ratio
            current = np.where(taken, proposal, current)
            support = np.where(taken, proposed, support)
        self._place(data, current)
        return current

    def _category(self, data: CompletedData, etas: list[FloatArray]) -> FloatArray:
        prior = self._prior(etas)
        support = np.empty_like(prior)
        for k in range(prior.shape[1]):
            self._place(data, np.full(prior.shape[0], float(k)))
            support[:, k] = self._support(data)
        weight = prior * np.exp(support - support.max(axis=1, keepdims=True))
        ends = np.cumsum(weight, axis=1)
        above = self._rng.random(size=(prior.shape[0], 1)) * ends[:, -1:] > ends
        return np.asarray(np.minimum(above.sum(axis=1), prior.shape[1] - 1), dtype=np.float64)

    def _prior(self, etas: list[FloatArray]) -> FloatArray:
        """Probabilities (r, K) of the covariate's own model."""
        if self._covariate.target.method == "nominal":
            rest, columns = np.ones(etas[0].size), []
            for eta in etas:
                columns.append(rest * ndtr(-eta))
                rest = rest * ndtr(eta)
            return np.column_stack([*columns, rest])
        below = ndtr(self._covariate.states[0].cuts - etas[0][:, None])
        ends = np.column_stack([np.zeros(etas[0].size), below, np.ones(etas[0].size)])
        return np.asarray(np.diff(ends, axis=1))

    def _place(self, data: CompletedData, drawn: FloatArray) -> None:
        units = self.target.units
        values = data.values[self.target.variable.name][units.row_of]
        values[self.target.missing] = drawn
        data.fill(self.target.variable.name, values[units.unit_of])

    def _support(self, data: CompletedData) -> FloatArray:
        """Log-likelihood of the outcomes of each missing unit (r,) under the analysis model."""
        model = self._model
        X, Z = model.target.matrices(data)
        (eta,) = model.linear_predictors(X, Z, np.arange(X.shape[0]))
        y = data.values[model.target.variable.name]
        if model.target.method == "normal":
            (center,), scale = data.scales[model.target.variable.name]
            variances = model.states[0].parameters[6][model.target.units.inner]
            density = -0.5 * ((y - center) / scale - eta) ** 2 / variances
        else:
            density = np.asarray(log_ndtr(np.where(y > 0, eta, -eta)))
        units = self.target.units
        total = np.bincount(units.unit_of, weights=density, minlength=units.row_of.size)
        return np.asarray(total[self.target.missing])
