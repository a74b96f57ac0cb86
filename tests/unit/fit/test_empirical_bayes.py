"""James-Stein and empirical Bayes: published numbers, special cases, and the promise of a smaller error."""

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.fit.empirical_bayes import empirical_bayes, james_stein, shrinkage_table

SCHOOLS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def test_batting_averages_of_efron_and_morris():
    """Efron & Morris (1977), Scientific American 236(5), 119-127: eighteen players after 45 times at bat.

    The grand average is .265 and the shrinking factor .212; Clemente's .400 becomes .294, Alvis's .156 .242.
    Printed to three digits.
    """
    hits = np.array([18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7])
    y = hits / 45
    made = james_stein(y, np.full(18, np.sqrt(y.mean() * (1 - y.mean()) / 45)))
    assert made.mean == pytest.approx(0.265, abs=5e-4)
    assert 1 - made.pull[0] == pytest.approx(0.212, abs=5e-4)
    assert [made.estimates[0], made.estimates[-1]] == pytest.approx([0.294, 0.242], abs=6e-4)


def test_unequal_errors_are_the_textbook_formula_on_the_standardised_scale():
    """By projection: x = y / s is pulled towards the line through 1 / s."""
    x, line = SCHOOLS / ERRORS, 1 / ERRORS
    onto = line * (line @ x) / (line @ line)
    factor = max(0.0, 1 - (len(x) - 3) / float((x - onto) @ (x - onto)))
    expected = (onto + factor * (x - onto)) * ERRORS
    np.testing.assert_allclose(james_stein(SCHOOLS, ERRORS).estimates, expected, rtol=1e-12)


def test_summaries_closer_than_chance_become_their_mean():
    made = james_stein(np.array([1.0, 1.1, 0.9, 1.05]), np.ones(4))
    assert made.pull.tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(made.estimates, made.mean)


def test_eight_schools_are_pooled_completely_by_likelihood():
    """Gelman et al. (2013), section 5.5: the estimate of tau is 0, and the pooled effect 7.7 (4.1)."""
    made = empirical_bayes(SCHOOLS, ERRORS)
    assert made.tau == 0
    assert [made.mean, made.mean_se] == pytest.approx([7.7, 4.1], abs=0.05)
    np.testing.assert_allclose(made.estimates, made.mean)


def test_equal_errors_have_a_closed_form():
    """REML: tau^2 is the variance of the summaries less s^2; ML divides by J instead of J - 1."""
    y = np.array([1.0, 4.0, 2.0, 9.0, 5.0])
    s = np.full(5, 1.5)
    assert empirical_bayes(y, s).tau ** 2 == pytest.approx(y.var(ddof=1) - 2.25, rel=1e-6)
    assert empirical_bayes(y, s, reml=False).tau ** 2 == pytest.approx(y.var() - 2.25, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_units_change_nothing_but_units(scale):
    plain, scaled = empirical_bayes(3 * SCHOOLS, ERRORS), empirical_bayes(3 * scale * SCHOOLS, scale * ERRORS)
    assert plain.tau > 0
    assert scaled.tau == pytest.approx(scale * plain.tau, rel=1e-12)
    np.testing.assert_allclose(scaled.estimates, scale * plain.estimates, rtol=1e-10)
    np.testing.assert_allclose(scaled.std_errors, scale * plain.std_errors, rtol=1e-10)


def test_standard_errors_are_those_of_the_joint_normal():
    """Brute force: condition theta on y in the joint normal with a flat mean, at the estimated tau."""
    made = empirical_bayes(3 * SCHOOLS, ERRORS)
    flat = 1e8
    prior = made.tau**2 * np.eye(8) + flat * np.ones((8, 8))
    gain = prior @ np.linalg.inv(prior + np.diag(ERRORS**2))
    # what is left of the flat prior, s^2 / 1e8, and eight digits lost in the inverse
    np.testing.assert_allclose(gain @ (3 * SCHOOLS), made.estimates, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(prior - gain @ prior)), made.std_errors, rtol=1e-4)


def test_pulling_pays_whatever_the_truth():
    """Stein's result by simulation: total error in units of s, three truths far apart, 3,000 samples each.

    The saving is at least 3 standard errors of the simulation, even for groups that lie far apart.
    """
    dice = np.random.default_rng(5)
    s = np.linspace(0.5, 2, 10)
    for spread in (0.0, 1.0, 4.0):
        theta = spread * dice.normal(size=10)
        savings = []
        for _ in range(3000):
            y = theta + s * dice.normal(size=10)
            pulled = james_stein(y, s).estimates
            savings.append(float((((y - theta) / s) ** 2 - ((pulled - theta) / s) ** 2).sum()))
        assert np.mean(savings) > 3 * np.std(savings) / np.sqrt(len(savings))


def test_both_stand_side_by_side():
    table = shrinkage_table("ABCDEFGH", SCHOOLS, ERRORS)
    assert table["label"].to_list() == list("ABCDEFGH")
    assert table["summary"].to_list() == SCHOOLS.tolist()
    assert table["empirical_bayes_pull"].to_list() == [1.0] * 8
    assert table["james_stein"].n_unique() == (1 if table["james_stein_pull"][0] == 1 else 8)
    assert table.null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize(
    ("y", "s", "words"),
    [
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], "3 summaries are too few"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 0.0, 1.0], "zero, negative"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, float("nan"), 1.0], "zero, negative, infinite or missing"),
        ([1.0, 2.0, float("inf"), 4.0], [1.0] * 4, "a summary is infinite"),
    ],
)
def test_what_cannot_be_pulled_is_refused(y, s, words):
    with pytest.raises(Refusal, match=words):
        james_stein(np.array(y), np.array(s))
    if len(y) > 3:
        with pytest.raises(Refusal, match=words):
            empirical_bayes(np.array(y), np.array(s))
