"""A photo-like synthetic training corpus with exact motion: rendered plants, cloths and lanterns in a light wind.

Two environments share this package, because Blender's Python module wants another numpy than this library:

* `python -m scripts.corpus` (`__main__`, `quality`) runs in the library's environment. It hands out seeds, judges
  what comes back and writes samples by `gid_core.training.motion_samples`, so that their format is defined once.
* `scripts.corpus.worker` runs in an environment with `bpy`. It builds a scene from its seed, renders the photo and
  one data pass, and sends photo and spectral volume.

Everything that is arithmetic (`motion`, `projection`, `geometry`, `plants`, `hangings`, `photo`) knows only numpy and
is tested without Blender. Lengths are in meters, +z up, and angles in radians.
"""
