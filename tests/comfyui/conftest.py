"""A real ComfyUI server with this pack in it."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.comfyui)


@pytest.fixture(scope="session")
def server(server_for):
    """The server, shared by all tests of the session; a test must not stop it or leave a prompt running."""
    return server_for()
