"""The command `evaluate`."""

import json
import math
import shutil

import pytest

from gid_core.cli import main
from gid_core.evaluation.evaluate_command import _write_json
from gid_core.evaluation.rendering_evaluation import METHODS
from gid_core.evaluation.tables import metrics_table


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


def test_the_command_measures_clips_and_painted_scenes_in_one_run(
    evaluation_results, clip_folder, tmp_path, capsys, monkeypatch, toy_networks
):
    monkeypatch.setattr("gid_core.evaluation.evaluate_command.FeatureNetworks", toy_networks)
    out = tmp_path / "out"
    shutil.copytree(evaluation_results[1], out)  # so that only the scene is computed
    arguments = ["evaluate", "--clips", str(clip_folder), "--use", "develop", "--method", "repeat", "true"]
    assert main([*arguments, "--scenes", "1", "--scene-seeds", "1", "--out", str(out)]) == 0
    scenes = json.loads((out / "report.json").read_text())["scenes"]
    assert scenes["count"] == scenes["seeds"] == 1 and list(scenes["methods"]) == ["real", "repeat", "true"]
    assert scenes["methods"]["true"]["affine_ratio"][0] == pytest.approx(1, rel=1e-4)
    text = (out / "report.md").read_text()
    assert "Painted scenes" in text and "nan" not in text and text in capsys.readouterr().out
    assert "Painted scenes" in (out / "report.html").read_text()


def test_what_is_undefined_is_null_in_json(tmp_path):
    _write_json(tmp_path / "report.json", {"methods": {"true": {"auc": [math.nan, 0.5, math.inf], "fps": 30}}})

    def refuse(constant: str):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert content == {"methods": {"true": {"auc": [None, 0.5, None], "fps": 30}}}
    assert "–" in metrics_table(content["methods"])
