"""Helpers for tests of commands: the files of the fixtures `files` and `model`, read."""

import os

import torch

from gid_core.media.image_io import read_image
from gid_core.spectral_volume import SpectralVolume

FAST = ("volume.safetensors", "photo.png", "--renderer", "fast-splat")  # of `files`, rendered as by `render`


def load():
    """The volume and the photo of `files`."""
    return SpectralVolume.load("volume.safetensors"), read_image("photo.png")


def images(folder):
    """The images of a folder in the order of their names, [B, H, W, C]."""
    return torch.stack([read_image(folder / name) for name in sorted(os.listdir(folder))])
