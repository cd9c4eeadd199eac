"""Weights files: one reader per format."""
