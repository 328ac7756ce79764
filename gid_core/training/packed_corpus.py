"""Motion samples from packed synthetic corpora: pairs of .jpg and .npz."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..media.image_io import read_image
from ..spectral_volume import SpectralVolume
from .motion_samples import write_motion_sample

RAMP_MIN_BIN = 6  # bins from here on are used to estimate the ramp of a volume
CORPUS_WIDTH = 256  # pixels, the width in which packed displacements are measured


def motion_samples_from_npz(source: str | Path, folder: str | Path) -> Iterator[str]:
    """Unpack a corpus. There are two kinds of .npz files:

    - "q" int8 [h, w, x/y, K, re/im] and "scale" [x/y, K]. The ramp is estimated from the high bins and subtracted
      (`remove_ramp`).
    - "modes" int8 [M, h, w] with "scale" [M] and "mix" [K * 4, M]: the volume is a sum of M spatial modes.

    Yields:
        The name of each sample that was written or found.

    Raises:
        ValueError: if the folder holds no .npz files, or one that is damaged.
    """
    source, folder = Path(source), Path(folder)
    paths = sorted(source.glob("*.npz"))
    if not paths:
        raise ValueError(f"{source} holds no .npz samples.")
    for path in paths:
        if not (folder / f"{path.stem}.safetensors").is_file():
            try:
                with np.load(path) as data:
                    meta = json.loads(str(data["meta"]))
                    volume = _volume_from_modes(data) if "modes" in data else remove_ramp(_volume_from_int8(data))
                group = meta.get("group") or f"{meta['family']}_{path.stem.split('_')[1]}"
            except Exception as error:  # damaged archives and arrays raise anything
                raise ValueError(
                    f"{path} is damaged, or no packed sample ({error}): delete it or copy it again."
                ) from None
            write_motion_sample(folder, path.stem, read_image(path.with_suffix(".jpg")), volume, group)
        yield path.stem


def _volume_from_int8(data: Any) -> SpectralVolume:
    q = data["q"].astype(np.float32) / 127 * data["scale"].astype(np.float32)[..., None]
    height, width, _, bins, _ = q.shape
    coefficients = torch.from_numpy(q).permute(3, 2, 4, 0, 1).reshape(1, bins, 4, height, width)
    return SpectralVolume(coefficients * (width / CORPUS_WIDTH))


def _volume_from_modes(data: Any) -> SpectralVolume:
    q = data["modes"].astype(np.float32) / 63
    modes = np.sign(q) * q**2 * data["scale"].astype(np.float32)[:, None, None]  # 7 bits, companded by a square root
    height, width = modes.shape[1:]
    coefficients = torch.from_numpy(np.tensordot(data["mix"].astype(np.float32), modes, 1))
    coefficients = coefficients.reshape(1, -1, 4, height, width)
    return SpectralVolume(coefficients * (width / CORPUS_WIDTH), detrend="ramp")


def remove_ramp(volume: SpectralVolume, min_bin: int = RAMP_MIN_BIN) -> SpectralVolume:
    """Subtract the line from F_0 to F_T from a volume that was measured with detrend "none".

    The line (t / T) D has the transform D r_k with r_k = (-1 + i cot(pi k / T)) / 2 for k > 0. The high bins of sway
    hold little else, so D is their least-squares fit: D = Re sum conj(r_k) S_k / sum |r_k|^2 over k >= min_bin.
    """
    coefficients, period = volume.coefficients, volume.period
    k = torch.arange(1, volume.num_bins, dtype=torch.float32)
    real, imaginary = torch.full_like(k, -0.5), 0.5 / torch.tan(torch.pi * k / period)
    ramp = torch.stack([real, imaginary], 1)[:, None, :, None, None]  # [K - 1, 1, re/im, 1, 1]
    slices = coefficients.unflatten(2, (2, 2)).clone()  # [B, K, x/y, re/im, H, W]
    high = slice(min_bin - 1, None)
    drift = (slices[:, 1:][:, high] * ramp[high]).sum((1, 3)) / ramp[high].square().sum()
    slices[:, 1:] -= drift[:, None, :, None] * ramp
    slices[:, 0, :, 0] -= drift * (period - 1) / 2
    return volume.replace(coefficients=slices.flatten(2, 3), detrend="ramp")
