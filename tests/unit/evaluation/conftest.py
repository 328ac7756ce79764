"""Small synthetic clips, and an evaluation of them with toy features in place of the networks."""

import pytest
import torch

import gid_core as gid
from gid_core.evaluation import runner
from gid_core.evaluation.clip_folder import find_clips
from gid_core.evaluation.networks.feature_networks import FeatureNetworks
from gid_core.synthetic.random_scene import random_scene


def toy_features(frames):
    """Mean and standard deviation of the colors of each window or frame, [N, 6]."""
    flat = frames.reshape(len(frames), -1, 3)
    return torch.cat([flat.mean(1), flat.std(1)], dim=1)


class ToyNetworks(FeatureNetworks):
    def _load(self, name):
        if name in ("i3d", "efficientnet"):
            return toy_features
        if name == "lpips":
            return lambda a, b: (a - b).abs().mean(dim=(1, 2, 3))
        return super()._load(name)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """Three clips of two sources, one that is too short, and an index."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        gid.write_video(folder / f"scene{seed}.mp4", torch.as_tensor(random_scene(seed, (64, 128)).frames(70)), 14)
    gid.write_video(folder / "short.mp4", torch.rand(20, 64, 128, 3), 14)
    rows = ["id,use,source_id", "scene0,develop,a", "scene1,develop,a", "scene2,develop,b", "short,develop,c"]
    (folder / "index.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="session")
def evaluation_results(clip_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    clips = find_clips(clip_folder, "develop")
    with pytest.warns(UserWarning, match="short.mp4 has 20 frames"):
        summary = runner.evaluate(clips, ["repeat", "true"], out, ToyNetworks(weights=str(out)))
    return clips, out, summary


@pytest.fixture(scope="session")
def toy_networks():
    """The class of `FeatureNetworks` with toy features."""
    return ToyNetworks
