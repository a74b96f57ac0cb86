"""Subjects, visits and strata of a residual covariance, and what is refused because no row speaks of it."""

import numpy as np
import pytest

from nestwise.design.identification import n_parameters
from nestwise.errors import FormulaError, Refusal

VISITS = ("w0", "w4", "w8", "w12")


def trial(subjects=8, visits=VISITS, times=(0.0, 4.0, 8.0, 12.0)):
    """Everybody seen at every visit; two arms."""
    dice = np.random.default_rng(1)
    n = subjects * len(visits)
    return {
        "id": [f"p{k // len(visits)}" for k in range(n)],
        "visit": [visits[k % len(visits)] for k in range(n)],
        "week": [times[k % len(visits)] for k in range(n)],
        "arm": ["ab"[k // len(visits) % 2] for k in range(n)],
        "sex": ["mf"[k // len(visits) // 2 % 2] for k in range(n)],
        "x": dice.uniform(1, 2, n).tolist(),
        "y": dice.normal(size=n).tolist(),
    }


def without(frame, *rows):
    return {
        name: [value for k, value in enumerate(values) if k not in rows] for name, values in frame.items()
    }


@pytest.fixture
def residual_of(design_of):
    def make(frame=None, formula="y ~ visit", within=None, **residual):
        section = {"structure": "unstructured", "time": "visit"} | residual
        within = {"id": None} if within is None else within
        design = design_of(frame or trial(), formula, model={"residual": section}, within=within)
        return design.residual

    return make


def test_subjects_and_visits_of_a_trial(residual_of):
    made = residual_of()
    assert (made.structure, made.heterogeneous, made.subject, made.time) == (
        "unstructured",
        True,
        "id",
        "visit",
    )
    assert made.subjects.tolist() == np.repeat(np.arange(8), 4).tolist()
    assert made.visits.tolist() == np.tile(np.arange(4), 8).tolist()
    assert made.visit_labels == VISITS
    assert made.times.tolist() == [0, 1, 2, 3]
    assert (made.by, made.stratum_labels, set(made.strata.tolist())) == ("", ("",), {0})


def test_numeric_times_are_kept_and_ordered(residual_of):
    made = residual_of(trial(times=(12.0, 0.5, 8.0, 2.0)), structure="ar1", time="week")
    assert made.times.tolist() == [0.5, 2, 8, 12]
    assert made.visit_labels == ("0.5", "2", "8", "12")
    assert made.visits[:4].tolist() == [3, 0, 2, 1]
    assert not made.heterogeneous


def test_a_declared_visit_without_rows_keeps_its_distance(residual_of):
    frame = trial()
    frame["y"] = [None if visit == "w4" else y for visit, y in zip(frame["visit"], frame["y"], strict=True)]
    made = residual_of(frame, "y ~ 1", structure="ar1")
    assert made.visit_labels == ("w0", "w8", "w12")
    assert made.times.tolist() == [0, 2, 3]


def test_dates_become_days(residual_of):
    from datetime import date

    frame = trial() | {"day": [date(2024, 1, 1 + 3 * (k % 4)) for k in range(32)]}
    made = residual_of(frame, structure="ar1", time="day")
    assert made.times.tolist() == [0, 3, 6, 9]
    assert made.visit_labels[1] == "2024-01-04"


def test_a_model_needs_no_brackets_and_counts_subjects(design_of):
    model = {"residual": {"structure": "ar1", "time": "week"}}
    frame = without(trial(), 0, 1, 2, 3) | {}
    frame["y"][0] = None
    design = design_of(frame, "y ~ visit", model=model, within={"id": None})
    assert design.random == ()
    assert design.n_groups == 7
    flow = design.row_flow
    assert (flow.groups_source, flow.groups_used, flow.excluded) == (7, 7, (("y is missing", 1, 0),))


def test_rows_without_a_visit_or_stratum_are_left_out(design_of):
    frame = trial()
    frame["week"][0], frame["arm"][5] = None, None
    model = {"residual": {"structure": "ar1", "time": "week", "by": "arm"}}
    design = design_of(frame, "y ~ 1", model=model, within={"id": None})
    assert design.row_flow.excluded == (("week is missing", 1, 0), ("arm is missing", 1, 0))


def test_ids_that_restart_are_told_apart_by_their_parents(residual_of):
    frame = trial()
    frame["clinic"] = ["c" + str(k // 16) for k in range(32)]
    frame["id"] = [f"p{k // 4 % 4}" for k in range(32)]
    made = residual_of(frame, within={"clinic": None, "id": "clinic"})
    assert made.subject == "id"
    assert made.subjects.max() == 7


def test_the_lowest_factor_is_the_subject_and_two_lowest_need_a_choice(design_of, residual_of):
    frame = trial() | {"rater": ["r" + str(k % 3) for k in range(32)]}
    within = {"id": None, "rater": None}
    with pytest.raises(Refusal, match=r"id and rater could be meant.*subject"):
        residual_of(frame, within=within)
    assert residual_of(frame, within=within, subject="id").subject == "id"
    model = {"residual": {"structure": "ar1", "time": "week"}}
    design = design_of(frame, "y ~ 1 + (1 | id)", model=model, within=within)
    assert design.residual.subject == "id"


def test_strata_are_those_of_subjects(residual_of):
    made = residual_of(by="arm")
    assert made.stratum_labels == ("a", "b")
    assert made.strata.tolist() == [k // 4 % 2 for k in range(32)]
    assert n_parameters(made) == 20
    frame = trial()
    frame["arm"][1] = "b"
    with pytest.raises(Refusal, match="arm varies inside id p0: "):
        residual_of(frame, by="arm")


def test_a_visit_is_seen_once_in_a_subject(residual_of):
    frame = trial()
    frame["visit"][6] = "w4"
    with pytest.raises(Refusal, match="id p1 has 2 rows at visit w4;"):
        residual_of(frame)


def test_compound_symmetry_asks_for_no_visits(design_of):
    model = {"residual": {"structure": "compound_symmetry"}}
    design = design_of(trial(), "y ~ 1", model=model, within={"id": None})
    assert design.residual.time == ""
    with pytest.raises(Refusal, match="needs visits"):
        design_of(trial(), "y ~ 1", model={"residual": {"structure": "ar1"}}, within={"id": None})


def test_independent_residuals_alike_need_no_record(design_of):
    model = {"residual": {"structure": "independent"}}
    assert design_of(trial(), "y ~ 1 + (1 | id)", model=model, within={"id": None}).residual is None


@pytest.mark.parametrize(
    ("structure", "parameters"),
    [("unstructured", 10), ("compound_symmetry", 2), ("ar1", 2), ("toeplitz", 4), ("antedependence", 4)],
)
def test_numbers_of_parameters(residual_of, structure, parameters):
    assert n_parameters(residual_of(structure=structure)) == parameters
    if structure != "unstructured":
        assert n_parameters(residual_of(structure=structure, heterogeneous=True)) == parameters + 3


class TestUnidentified:
    def rows_of(self, *drop):
        """The trial without some visits of some subjects."""
        frame = trial()
        keys = list(zip(frame["id"], frame["visit"], strict=True))
        return without(frame, *(k for k, key in enumerate(keys) if drop[0](*key)))

    def test_visits_never_seen_together(self, residual_of):
        frame = self.rows_of(lambda who, when: when == ("w4" if int(who[1:]) >= 4 else "w12"))
        with pytest.raises(Refusal, match="never observed together in one id: w4 and w12; merge visits"):
            residual_of(frame)
        assert residual_of(frame, structure="ar1").structure == "ar1"
        assert residual_of(frame, structure="antedependence", by=None) is not None

    def test_neighbours_never_seen_together(self, residual_of):
        frame = self.rows_of(lambda who, when: when == ("w4" if int(who[1:]) >= 4 else "w8"))
        with pytest.raises(Refusal, match="in one id: 4 and 8; merge"):
            residual_of(frame, structure="antedependence", time="week")

    def test_a_lag_never_seen(self, residual_of):
        frame = self.rows_of(lambda who, when: when == ("w0" if int(who[1:]) >= 4 else "w12"))
        with pytest.raises(Refusal, match="3 visits apart"):
            residual_of(frame, structure="toeplitz")

    def test_in_one_arm_only(self, residual_of):
        frame = self.rows_of(
            lambda who, when: int(who[1:]) % 2 == 1 and when == ("w4" if int(who[1:]) >= 4 else "w12")
        )
        assert residual_of(frame) is not None
        with pytest.raises(Refusal, match="in arm b, visits are never observed together"):
            residual_of(frame, by="arm")

    def test_one_row_a_subject(self, residual_of):
        frame = self.rows_of(lambda who, when: when != VISITS[int(who[1:]) % 4])
        with pytest.raises(Refusal, match="every id has one row"):
            residual_of(frame, "y ~ 1", structure="ar1")

    def test_more_parameters_than_rows(self, residual_of):
        with pytest.raises(Refusal, match="10 parameters of the residual covariance and 4 fixed effects"):
            residual_of(trial(subjects=3))

    def test_a_visit_seen_once(self, residual_of):
        frame = self.rows_of(lambda who, when: when == "w12" and who != "p0")
        with pytest.raises(Refusal, match="visit w12 has one row"):
            residual_of(frame, structure="ar1", heterogeneous=True)

    def test_random_effects_that_the_covariance_holds(self, residual_of):
        for structure in ("unstructured", "compound_symmetry", "toeplitz"):
            with pytest.raises(Refusal, match="cannot be told apart"):
                residual_of(formula="y ~ 1 + (1 | id)", structure=structure)
        assert residual_of(formula="y ~ 1 + (1 | id)", structure="ar1") is not None
        assert residual_of(formula="y ~ 1 + (0 + week | id)", structure="toeplitz") is not None
        with pytest.raises(Refusal, match="cannot be told apart"):
            residual_of(formula="y ~ 1 + (0 + week | id)")


class TestVarianceFunctions:
    @pytest.fixture
    def function_of(self, residual_of):
        def make(frame=None, **variance):
            return residual_of(frame, "y ~ 1", structure="ar1", variance=variance).variance

        return make

    def test_covariates_and_strata(self, function_of):
        frame = trial()
        power = function_of(frame, power="x")
        assert (power.kind, power.name, power.labels) == ("power", "x", ())
        assert power.values.tolist() == frame["x"]
        strata = function_of(frame, strata="sex")
        assert strata.labels == ("m", "f")
        assert strata.values[:9].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1]

    def test_strata_may_vary_inside_a_subject(self, function_of):
        assert function_of(strata="visit").labels == VISITS

    @pytest.mark.parametrize(
        ("value", "kind", "words"),
        [
            (0.0, "power", r"x is infinite, zero or negative in 1 row \(3\); add a constant"),
            (-1.0, "power", r"zero or negative in 1 row \(3\)"),
            (float("inf"), "exponential", r"x is infinite in 1 row \(3\)"),
        ],
    )
    def test_values_out_of_range(self, function_of, value, kind, words):
        frame = trial()
        frame["x"][2] = value
        with pytest.raises(Refusal, match=words):
            function_of(frame, **{kind: "x"})

    def test_a_negative_covariate_may_be_exponential(self, function_of):
        frame = trial()
        frame["x"] = [1 - x for x in frame["x"]]
        assert function_of(frame, exponential="x").values.min() < 0

    def test_nothing_to_follow(self, function_of):
        with pytest.raises(Refusal, match="the same in every row"):
            function_of(trial() | {"x": [2.0] * 32}, power="x")
        with pytest.raises(Refusal, match="one level"):
            function_of(trial() | {"sex": ["m"] * 32}, strata="sex")
        with pytest.raises(Refusal, match="sex f has one row"):
            function_of(trial() | {"sex": ["m"] * 31 + ["f"]}, strata="sex")
        with pytest.raises(Refusal, match="holds no numbers"):
            function_of(power="arm")


def test_absent_columns_are_named_with_their_key(residual_of):
    with pytest.raises(FormulaError) as caught:
        residual_of(time="vist", by="amr")
    said = [str(problem) for problem in caught.value.problems]
    assert said[0] == "the key residual.time: there is no column vist; did you mean visit."
    assert said[1].startswith("the key residual.by: there is no column amr")


def test_the_record_of_a_trial_is_json(design_of):
    import json

    from nestwise.design.description import design_record

    model = {"residual": {"structure": "toeplitz", "by": "arm", "time": "visit", "variance": {"power": "x"}}}
    design = design_of(trial(), "y ~ visit * arm", model=model, within={"id": None})
    record = json.loads(json.dumps(design_record(design), allow_nan=False))
    assert record["residual"] == {
        "structure": "toeplitz",
        "heterogeneous": False,
        "subject": "id",
        "n_subjects": 8,
        "time": "visit",
        "visits": list(VISITS),
        "by": "arm",
        "strata": ["a", "b"],
        "variance": {"kind": "power", "name": "x"},
        "n_parameters": 10,
    }
    assert record["means"] == [["visit", "arm"]]
