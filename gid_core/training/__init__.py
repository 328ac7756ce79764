"""Data sets and trainings of the models (real clips and synthetic scenes with exact ground truth)."""
