"""python -m benchmarks [NAME ...]: run some measurements, or all."""

import argparse
import importlib

NAMES = (
    "splatting",
    "rendering",
    "fused",
    "outlines",
    "extraction",
    "clips",
    "coordination",
    "guidance",
    "prediction",
    "animate",
    "upsampling",
    "dynamics",
    "live",
    "kills",
)
# These run only when named: they train models, take long, or need the results of `make evaluate`.
ON_REQUEST = ("overfit", "ablation", "evaluation", "sampling", "server_memory", "versions")


def main() -> None:
    """Run the measurements named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = f"of {', '.join(NAMES)} (default: all); or {', '.join(ON_REQUEST)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    for name in parser.parse_args().names or NAMES:
        importlib.import_module(f"benchmarks.bench_{name}").main()


if __name__ == "__main__":
    main()
