"""A real ComfyUI server with this pack in it."""

import pytest


@pytest.fixture(scope="session")
def server(server_for):
    """The server, shared by all tests of the session; a test must not stop it or leave a prompt running."""
    return server_for()
