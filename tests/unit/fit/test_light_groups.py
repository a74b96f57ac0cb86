"""Groups that take little information are solved all at once: the same numbers as by eigenvalues."""

import numpy as np

from nestwise.fit.influence import _of_any_groups, _of_light_groups


def test_both_ways_agree():
    rng = np.random.default_rng(5)
    root = rng.normal(size=(4, 2, 300))
    C = np.einsum("arj,brj->abj", root, root)
    C *= rng.uniform(0, 0.5, 300) / np.trace(C)
    along = rng.normal(size=(4, 300))
    for quick, known in zip(_of_light_groups(C, along), _of_any_groups(C, along), strict=True):
        np.testing.assert_allclose(quick, known, rtol=1e-12, atol=1e-13)  # rounding: I - C has condition 2


def test_a_group_with_all_there_is_has_no_answer():
    C = np.diag([1.0, 0.2, 0.0])[:, :, None]
    assert all(np.isnan(each).all() for each in _of_any_groups(C, np.ones((3, 1))))
