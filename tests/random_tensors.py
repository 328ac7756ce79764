"""Random tensors that are the same in every run."""

import torch


def random_normal(*shape, seed=0, dtype=torch.float32):
    """A tensor of standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_uniform(*shape, seed=0, dtype=torch.float32):
    """A tensor of uniform numbers in 0..1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
