"""The command line as a whole: usage, interrupts, and outputs that are checked first."""

import os
import re

import pytest

from command_files import FAST
from gid_core.cli import command_parsers, main

LOOP = ["loop", *FAST, "-o", "a.mp4"]
ANIMATE = ["animate", "photo.png", "-o"]


@pytest.mark.parametrize("arguments", [[], ["dance"], ["loop"], ["loop", "a", "b"], [*LOOP, "--band-gains", "1,x"]])
def test_wrong_usage_shows_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "usage: gid " in capsys.readouterr().err


def test_the_help_lists_each_command_once(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    introduction, commands = capsys.readouterr().out.split("positional arguments:")
    names = command_parsers()
    assert all(re.search(rf"^ +{name}\b", commands, re.MULTILINE) for name in names)
    assert not [name for name in names if re.search(rf"\b{name},", introduction)]


def test_an_interrupt_leaves_no_file(files, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gid_core.rendering.render._render_flow", interrupt)
    assert main(LOOP) == 130
    assert sorted(os.listdir()) == ["photo.png", "volume.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere/a.mp4"], "no folder nowhere"),
        (["a.avi"], "Cannot write .avi"),
        (["a.mp4", "--volume", "nowhere/v.safetensors"], "no folder nowhere"),
        (["a.mp4", "--volume", "."], "the name of a file"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_motion_is_predicted(
    files, monkeypatch, capsys, arguments, message
):
    monkeypatch.setattr("gid_core.commands.photo_commands.predict", lambda *_: pytest.fail("predicted"))
    assert main([*ANIMATE, *arguments]) == 1
    assert message in capsys.readouterr().err
