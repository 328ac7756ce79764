"""Train-test splits, reserved items and random seeds. They do not depend on the machine or on other samples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

# Training uses items of a dataset below this index. The last ones below it are shown in the log, and the items from it
# on are used to measure statistics.
RESERVED_INDEX = 10**9


class HasGroup(Protocol):
    """A sample with the name of its source."""

    @property
    def group(self) -> str: ...


Sample = TypeVar("Sample", bound=HasGroup)


def split_by_group(samples: Sequence[Sample], test_fraction: float = 0.1) -> tuple[list[Sample], list[Sample]]:
    """Split samples into (train, test) by a hash of their group's name: the same groups each time, on every machine.

    Args:
        samples: motion samples or rendering samples.
        test_fraction: expected fraction of groups in the second list, 0..1.
    """

    def is_test(sample: Sample) -> bool:
        digest = hashlib.sha256(sample.group.encode()).digest()
        return int.from_bytes(digest[:4], "big") < test_fraction * 2**32

    return [s for s in samples if not is_test(s)], [s for s in samples if is_test(s)]


def combine_seeds(*numbers: int) -> int:
    """One seed from several numbers >= 0. PyTorch's CPU generator only uses the last 32 bits of a seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
