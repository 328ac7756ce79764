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
    "modal",
    "live",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)} (default: all)")
    for name in parser.parse_args().names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
