"""The command `evaluate`."""

import json

from gid_core.cli import main
from gid_core.evaluation.rendering_evaluation import METHODS


def test_the_command_writes_results_and_reports_errors(clip_folder, tmp_path, capsys, monkeypatch, toy_networks):
    monkeypatch.setattr("gid_core.evaluation.evaluate_command.FeatureNetworks", toy_networks)
    assert (
        main(["evaluate", "--clips", str(clip_folder), "--mode", "rendering", "--limit", "1", "--out", str(tmp_path)])
        == 0
    )
    assert "softmax splat" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "rendering.json").read_text())) >= set(METHODS)
    assert main(["evaluate", "--clips", str(tmp_path / "nowhere"), "--out", str(tmp_path)]) == 1
    assert "nowhere" in capsys.readouterr().err
