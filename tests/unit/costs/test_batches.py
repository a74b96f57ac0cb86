"""Batches: every piece once, sizes even, names that can be read back."""

import pytest

from nestwise.costs.batches import batch_size, batches, numbers


@pytest.mark.parametrize(
    ("total", "size"), [(0, 5), (1, 5), (5, 5), (6, 5), (100, 20), (101, 20), (7, 1), (2000, 300)]
)
def test_batches_hold_every_piece_once_and_are_even(total, size):
    parts = [numbers(name) for name in batches(total, size)]
    assert [piece for part in parts for piece in part] == list(range(1, total + 1))
    assert len(parts) == -(-total // size)
    assert all(len(part) <= size for part in parts)
    assert not parts or max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_batch_is_named_by_its_first_and_last_piece():
    assert batches(100, 40) == ["1-33", "34-66", "67-100"]


def test_a_batch_lasts_minutes():
    assert batch_size(2.0) == 150
    assert batch_size(1e9) == 1
    assert batch_size(0.0) > 10**6
