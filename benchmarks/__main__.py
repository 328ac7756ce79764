"""python -m benchmarks [NAME ...]: run some measurements, or all."""

import argparse
import importlib

NAMES = (
    "splatting",
    "rendering",
    "extraction",
    "clips",
    "coordination",
    "guidance",
    "prediction",
    "upsampling",
    "dynamics",
    "live",
)
LONG = ("overfit", "ablation", "evaluation")  # trainings, and what `make evaluate` has prepared: only when named


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = f"of {', '.join(NAMES)} (default: all); or {', '.join(LONG)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    for name in parser.parse_args().names or NAMES:
        importlib.import_module(f"benchmarks.bench_{name}").main()


if __name__ == "__main__":
    main()
