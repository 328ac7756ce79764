"""Read audio files (PyAV)."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from ..validation import check_path


def read_audio(path: str | os.PathLike) -> tuple[Tensor, int]:
    """Read the first sound track of a file.

    Returns:
        The waveform, float32 [channels, samples] in -1..1, and the samples per second.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it holds no sound that can be decoded.
    """
    from ..packages import av

    path = check_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"No audio at {path}.")
    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.audio), None)
            resampler = av.AudioResampler(format="fltp")
            decoded = container.decode(stream) if stream is not None else ()
            parts = [part.to_ndarray() for frame in [*decoded, None] for part in resampler.resample(frame)]
    except av.FFmpegError as error:
        raise ValueError(f"{path.name} cannot be read as audio: {error}.") from None
    if stream is None or not parts:
        raise ValueError(f"{path.name} holds no sound.")
    return torch.from_numpy(np.concatenate(parts, axis=1)), stream.rate
