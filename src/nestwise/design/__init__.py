"""Formulas read, and made into the arrays every engine takes."""
