"""The command `gid`, also python -m gid_core: the command line, with one sentence for a missing package."""

import sys

from . import packages


def main() -> int:
    """Run `cli.main`; returns its exit status, or 1 if a package is missing."""
    try:
        _ = packages.torch  # an old one is told in words before the names that it lacks
        from .cli import main as run  # imports most of the library, and so its packages

        return run()
    except ImportError as error:
        if error.name not in packages.PACKAGES:
            raise
        sys.stderr.write(f"gid: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
