"""The Bayesian side: the collapsed likelihood under PyMC, its verdict, and what follows from the draws."""
