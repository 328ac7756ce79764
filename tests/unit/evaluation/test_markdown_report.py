"""The Markdown report of an evaluation."""

from gid_core.evaluation.markdown_report import markdown_report


def test_the_markdown_report_has_every_table(evaluation_results):
    _, _, summary = evaluation_results
    text = markdown_report(
        summary | {"scenes": {"count": 3, "seeds": 2, "methods": {"model": {"affine_ratio": [2.5, 2.0, 3.0]}}}}
    )
    assert "| model | 2.5 (2 … 3) |" in text and text.count("| method | 2 | 4 | 8 | 16 |") == 2
    coherence = summary["object_curves"]["coherence"]["real"]
    assert f"| real | {coherence[0]:.3g} | {coherence[1]:.3g}" in text
    assert "| repeat | – | – | – | – |" in text
    assert "Painted" not in markdown_report(summary)
