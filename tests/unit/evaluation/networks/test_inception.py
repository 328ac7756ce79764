"""The Inception network of FID against torch-fidelity."""

import pytest
import torch

from gid_core.evaluation.networks.inception import inception_features
from network_inputs import waves


def test_inception_features_use_a_local_file(tmp_path, monkeypatch, unavailable):
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as module
    except ImportError as error:
        unavailable(f"torch-fidelity: {error}; python scripts/evaluation_weights.py installs it")
    network = module.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:  # torch-fidelity has no network without weights
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(network, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        blank = network("any", ["2048"])
    file = tmp_path / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(blank.state_dict(), file)
    frames = waves(3, 40, 60)
    features = inception_features(frames, file, batch_size=2)
    assert features.shape == (3, 2048) and bool(torch.isfinite(features).all())
    bytes_ = (frames * 255).round().to(torch.uint8).movedim(-1, 1)
    torch.testing.assert_close(features, blank(bytes_)[0], rtol=1e-4, atol=1e-5)
    monkeypatch.setenv("GID_WEIGHTS", str(tmp_path))
    assert torch.equal(inception_features(frames, batch_size=2), features)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not the Inception network"):
        inception_features(frames, tmp_path / "other.pth")
