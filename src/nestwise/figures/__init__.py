"""Figures: tidy frames in, a drawing with caption, alt text and data out; never a file."""
