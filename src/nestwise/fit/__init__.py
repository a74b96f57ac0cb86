"""Maximum likelihood and least squares: engines, inference and the three ways to treat groups."""
