"""Generative Image Dynamics for ComfyUI: ComfyUI's entry point, and nothing else.

The library is `gid_core`; the nodes that adapt it are in `nodes`.
"""

if __package__:  # absent when a test runner imports this file by its path
    from .nodes import comfy_entrypoint

    WEB_DIRECTORY = "./js"
    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
