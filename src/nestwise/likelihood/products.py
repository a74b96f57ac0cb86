"""Cross-products of a design of either kind: one grouping factor, or several."""

from __future__ import annotations

from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.crossproducts import CrossProducts

Products = CrossProducts | CrossedProducts
"""Collapsed data: of one grouping factor, or of several."""
