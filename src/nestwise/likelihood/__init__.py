"""The one likelihood that is maximised by `fit` and sampled by `bayes`."""
