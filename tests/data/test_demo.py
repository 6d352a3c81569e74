"""The demo: one line for each step, everything else in its log, and a verdict in its last line."""

import argparse
import os
import re
import subprocess
import sys

import pytest

import checkout
from data import demo

SETTINGS = {"evaluate_options": ""}
PASSED = "| the table |\nwrote report.md\ncheck of promises.csv: 12 of 12 UAPs; passed\n"
FAILED = ("| the table |\nwrote report.md\ncheck of promises.csv: 11 of 12 UAPs; 1 promises are "
          "not kept:\nVGG16/isic2018/deepfool: fools 0.0 %\n")


def test_every_step_has_a_line_with_its_time_and_what_comes_next(smoke):
    folder, output = smoke
    lines = [line for line in output.splitlines() if re.match(r" *\d+:\d\d  ", line)]
    steps = lines[2:-2]
    assert len(steps) == 6 and max(map(len, steps)) < 150
    for line in steps:
        assert re.match(r" *\d+:\d\d  VGG16, .*: \d+ s, .*; next: ", line), line
    assert "test  accuracy" in steps[1] and "steps kept" in steps[2]
    assert lines[-1].endswith("these rates mean nothing")
    assert "$ python" not in output
    with open(os.path.join(folder, "demo", "log.txt"), encoding="utf-8") as file:
        log = file.read()
    assert log.count("$ python ") == log.count("# exit code 0; ") == 7
    assert "$ python train_model.py --model VGG16 " in log


def test_the_demo_ends_with_the_first_script_that_fails_and_its_message(tmp_path):
    (tmp_path / "models").write_text("in the way of the folder")
    ended = subprocess.run(
        [sys.executable, "-m", "data.demo", "--smoke", "--folder", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        cwd=checkout.ROOT)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert (tmp_path / "log.txt").read_text().count("$ python") == 1
    assert os.path.join("models", ".VGG16-natural.lock") in ended.stderr
    assert "the demo stopped" in ended.stderr


@pytest.mark.parametrize("code, output, last", [
    (0, PASSED, "the demo's check passed"),
    (1, FAILED, "the demo's check failed, as listed above")])
def test_the_last_line_says_whether_the_check_passed(
        tmp_path, monkeypatch, capsys, code, output, last):
    commands = []

    def run(command, log):
        commands.append(command)
        return demo.Ended(code, output, 1.0)

    monkeypatch.setattr(demo, "run", run)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.md").write_text("| the table |\n## Every run\nwide\n")
    with pytest.raises(SystemExit) as ended:
        demo.evaluate(argparse.Namespace(folder=str(tmp_path), smoke=False), SETTINGS, demo.Clock())
    assert ended.value.code == code
    assert commands[0][-2:] == ["--check", demo.PROMISES]
    printed = capsys.readouterr().out
    assert output[output.index("check of"):] in printed and "wide" not in printed
    assert printed.splitlines()[-1].endswith(last)


def test_the_smoke_run_is_not_checked_for_what_it_cannot_show(tmp_path, monkeypatch, capsys):
    commands = []

    def run(command, log):
        commands.append(command)
        return demo.Ended(0, "| the table |\n", 1.0)

    monkeypatch.setattr(demo, "run", run)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.md").write_text("| the table |\n")
    demo.evaluate(argparse.Namespace(folder=str(tmp_path), smoke=True), SETTINGS, demo.Clock())
    assert "--check" not in commands[0]
