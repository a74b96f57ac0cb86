"""Verdicts on a fit: residuals, random effects, groups, each with the limit it is held against and advice."""
