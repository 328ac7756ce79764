"""Routes of this pack on ComfyUI's server."""

from __future__ import annotations

import sys
from collections.abc import Callable


def add_route(method: str, path: str, handler: Callable) -> None:
    """Add a route to ComfyUI's server. Does nothing without a server, or if the route exists already.

    Args:
        method: "get" or "post".
    """
    # Looked up, not imported: if the server does not run, its module may fail to import.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is None or path in getattr(server, "gid_routes", ()):
        return
    server.gid_routes = {*getattr(server, "gid_routes", ()), path}
    getattr(server.routes, method)(path)(handler)
