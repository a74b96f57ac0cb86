"""Side by side: engines on one parametrisation, three ways of pooling, models of a study."""
