"""Configs: JSON, errors and the sizes of the presets."""

import json

import pytest
import torch

from gid_core.models.config import (
    GID_BASE,
    GID_SMALL,
    PRESETS,
    ModelConfig,
)
from gid_core.models.motion_model import MotionModel
from tiny_models import TINY


@pytest.mark.parametrize("config", [*PRESETS.values(), TINY], ids=lambda config: config.name)
def test_configs_survive_json(config):
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"color": 3}, "color"),
        ({"denoiser": {"depth": 2}}, "depth"),
        ({"denoiser": {"layout": "woven"}}, "woven"),
        ({"normalization": "cubic"}, "cubic"),
        ({"encoder": {"backbone": "vit"}}, "vit"),
        ({"volume": {"detrend": "sometimes"}}, "sometimes"),
        ({"diffusion": {"prediction_type": "noise"}}, "noise"),
        ({"volume": 3}, "config.volume"),
        ({"denoiser": {"block_out_channels": 3}}, "config.denoiser.block_out_channels is a list"),
        ({"volume": {"num_bins": 100}}, "100"),
    ],
)
def test_errors_name_unknown_settings_and_values(change, named):
    with pytest.raises(ValueError, match=named):
        ModelConfig.from_dict(change)


def test_presets_have_their_documented_sizes():
    counts = {}
    for name, config in PRESETS.items():
        with torch.device("meta"):
            model = MotionModel(config)
        counts[name] = sum(p.numel() for p in model.parameters())
        tensors = model.state_dict().values()
        if name == "gid-small":
            assert sum(t.numel() for t in tensors) * 2 + 100_000 < 60e6
    assert 10e6 < counts["gid-small"] < 30e6
    assert 300e6 < counts["gid-base"] < 400e6
    assert GID_BASE.latent_stride == 4
    assert GID_SMALL.latent_stride == 16
