"""Fixtures for the tests of rendering: compiled, by PyTorch's operators, or one after the other."""

import pytest

from gid_core.rendering import fused_splat


@pytest.fixture
def compiled(unavailable):
    """The compiled kernel, which the test must use."""
    if fused_splat._kernel() is None:
        unavailable("Numba is not installed, or fails here")
    return fused_splat._kernel()


@pytest.fixture
def by_pytorch(monkeypatch):
    """by_pytorch() makes the renderers run on PyTorch's operators from now on."""
    return lambda: monkeypatch.setattr(fused_splat, "_kernel", lambda: None)


@pytest.fixture(params=["compiled", "PyTorch"])
def both_ways(request):
    """The test runs twice."""
    if request.param == "compiled":
        request.getfixturevalue("compiled")
    else:
        request.getfixturevalue("by_pytorch")()
