import pytest

from nestwise.diagnose.optimum import REPRODUCED, judge_optimum, optimum_checks


@pytest.mark.parametrize(
    ("objective", "again", "ok"),
    [(14_859.9, 14_859.9, True), (14_859.9, 14_860.0, False), (0.0, 2e-6, False), (0.0, 1e-7, True)],
)
def test_the_criterion_is_that_of_the_record(objective, again, ok):
    check = judge_optimum(objective, again)
    assert check.ok is ok
    assert check.value == pytest.approx(abs(again - objective) / max(1, abs(objective)))
    assert check.limit == REPRODUCED


def test_without_a_record_there_is_nothing_to_judge():
    assert optimum_checks(None, "m", None, {}) == ()
