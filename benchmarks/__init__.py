"""Measured claims. `python -m benchmarks NAME` runs benchmarks/bench_NAME.py, which writes its table to results/."""
