"""Measured claims. Each module runs by itself (python -m benchmarks.splatting) and writes its table to results/."""
