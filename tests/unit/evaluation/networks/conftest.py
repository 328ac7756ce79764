"""Fixtures for the tests of the evaluation's networks."""

import socket

import pytest

from gid_core.evaluation.networks.pretrained_weights import MissingWeightsError, find_weights


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    """Forbid connections and ignore the user's own weights; converted files are cached for the session."""

    def refuse(*_):
        raise AssertionError("a test tried to connect")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("GID_WEIGHTS", raising=False)
    monkeypatch.setenv("GID_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def require_weights(unavailable):
    """A function that skips the test if the named weights are missing."""

    def require(name):
        try:
            find_weights(name)
        except MissingWeightsError as missing:
            unavailable(f"{missing} All at once: python scripts/evaluation_weights.py")

    return require
