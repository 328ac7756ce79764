"""Install what this pack needs and ComfyUI does not bring, and replace nothing.

ComfyUI-Manager runs this file. By hand, run it with ComfyUI's Python: python install.py
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gid_core import packages  # noqa: E402  (found through the line above)


def main() -> int:
    """Install each package that is missing, cannot be imported or is too old; returns pip's exit status."""
    for name in packages.NOT_IN_COMFYUI:
        try:
            getattr(packages, name)
        except ImportError:
            status = subprocess.call(packages.install_command(name))
            if status:
                return status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
