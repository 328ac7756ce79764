"""Helpers of tests of training: tiny models and datasets, and comparison of what two runs have saved."""

from dataclasses import replace

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import Dataset

from gid_core.models.motion_model import MotionModel
from gid_core.spectral_volume import SpectralVolume
from gid_core.training.motion_samples import MotionSample
from gid_core.training.trainer import TrainingConfig
from random_tensors import random_normal
from tiny_models import BINS, TINY

LAYOUTS = {"denoiser": "independent"}
QUICK = TrainingConfig(max_train_steps=6, train_batch_size=2, lr_warmup_steps=2, learning_rate=1e-3, ema_decay=0.9)


def tiny_model(stage="frequency-attention", seed=0):
    """A model with random weights, in the layout of a stage."""
    torch.manual_seed(seed)
    layout = LAYOUTS.get(stage, "coordinated")
    return MotionModel(replace(TINY, denoiser=replace(TINY.denoiser, layout=layout)))


class SwayingBlobs(Dataset):
    """Swaying blobs, `variants` different ones. Records the requested indices, and can be interrupted at an item."""

    def __init__(self, variants=10**6, interrupt_at=None):
        self.variants, self.interrupt_at, self.requested = variants, interrupt_at, []

    def __len__(self):
        return 10**6

    def __getitem__(self, index):
        if index == self.interrupt_at:
            raise KeyboardInterrupt
        self.requested.append(index)
        rng = np.random.default_rng(index % self.variants)
        y, x = np.mgrid[-1:1:16j, -1:1:32j]
        blob = np.exp(-8 * ((x - rng.uniform(-1, 1)) ** 2 + (y - rng.uniform(-1, 1)) ** 2))
        motion = rng.standard_normal((BINS, 4)) * 20 / (1 + np.arange(BINS))[:, None]
        photo = np.kron(blob, np.ones((4, 4)))[None] * rng.uniform(0.3, 1, (3, 1, 1))
        return torch.from_numpy(photo).float(), torch.from_numpy(motion[..., None, None] * blob).float()


class RecordingStage(nn.Module):
    """A stage that records its losses and their terms."""

    def __init__(self, stage):
        super().__init__()
        self.stage, self.losses, self.terms = stage, [], []

    @property
    def model(self):
        return self.stage.model

    def forward(self, *batch, seed):
        loss, terms = self.stage(*batch, seed=seed)
        self.losses.append(float(loss.detach()))
        self.terms.append(terms)
        return loss, terms


def saved_tensors(folder):
    """All tensors that a run has saved: raw weights, optimizer, moving average."""
    tensors = {f"raw.{name}": value for name, value in load_file(folder / "state" / "model.safetensors").items()}
    tensors |= {f"result.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    optimizer = torch.load(folder / "state" / "optimizer.bin", weights_only=True)
    for number, values in optimizer["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
    average = torch.load(folder / "state" / "custom_checkpoint_0.pkl", weights_only=True)
    tensors |= {f"average.{number}": value for number, value in enumerate(average["shadow_params"])}
    tensors["learning_rate"] = torch.tensor([group["lr"] for group in optimizer["param_groups"]])
    return tensors


def equal_tensors(first, second):
    """Whether two dicts of tensors are bit-identical."""
    return set(first) == set(second) and all(torch.equal(value, second[name]) for name, value in first.items())


def random_sample(name="sample", bins=BINS, size=(32, 64), seed=0):
    """A motion sample with a random photo and volume."""
    volume = SpectralVolume(20 * random_normal(1, bins, 4, 8, 16, seed=seed), detrend="ramp")
    photo = torch.rand(*size, 3, generator=torch.Generator().manual_seed(seed))
    return MotionSample(name, name, (photo * 255).byte(), volume)
