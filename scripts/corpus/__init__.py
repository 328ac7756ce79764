"""A photorealistic synthetic training corpus with exact motion: plants, cloths and lanterns in a light wind.

Two environments share this package, because Blender's Python module needs another version of NumPy than the library:

* `python -m scripts.corpus` (`__main__`) runs in the library's environment. It distributes seeds and writes samples
  by `gid_core.training.motion_samples`, so their format is defined only once.
* `scripts.corpus.worker` runs in an environment with `bpy`. It builds a scene from its seed, renders the photo and
  one data pass, checks the result (`quality`) and saves photo and spectral volume.

The modules `joint_motion`, `projection`, `geometry`, `plants`, `blossoms`, `hanging_objects`, `photo` and `quality`
only need NumPy and are tested without Blender. Lengths are in meters, +z is up, and angles are in radians.
"""
