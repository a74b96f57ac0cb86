"""nestwise: multilevel studies from one file."""
