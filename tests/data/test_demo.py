"""The demo: one line for each step, everything else in its log, and a verdict in its last line."""

import argparse
import os
import re
import subprocess
import sys
import time

import pytest

import checkout
import evaluate
from data import demo
from tests import demo_over_seeds
from utils.common.errors import UserError

SETTINGS = {"evaluate_options": ""}
PASSED = "| the table |\nwrote report.md\ncheck of promises.csv: 12 of 12 UAPs; passed\n"
FAILED = ("| the table |\nwrote report.md\ncheck of promises.csv: 11 of 12 UAPs; 1 promises are "
          "not kept:\nVGG16/isic2018/deepfool: fools 0.0 %\n")
SIDE_BY_SIDE = """
import os
import pathlib
import sys

from data import demo
from utils.common.errors import UserError, run_script

folder, cores, failing = sys.argv[1:]
os.sched_getaffinity = lambda process: set(range(int(cores)))


def command(name, *after):
    def part():
        pathlib.Path(folder, name).write_text(os.environ["TF_NUM_INTRAOP_THREADS"])
        if name == failing:
            raise UserError("it fails")

    return demo.TitledCommand(name, ["part.py"], after, part)


commands = [command("a", "c"), command("b", "a", "c"), command("c")]
log = os.path.join(folder, "log")
run_script(lambda: demo.run_side_by_side(commands, log, demo.Clock(), last="the end"))
"""
STOPPED = """
import os
import pathlib
import sys
import time
import types

from data import demo
from utils.common.errors import run_script

folder, stopped_step = pathlib.Path(sys.argv[1]), sys.argv[2]


def fork(function, fork=demo.fork):
    process = fork(function)
    (folder / str(process)).touch()
    return process


def work(step):
    if step == stopped_step:
        while not (folder / str(os.getpid())).exists():
            time.sleep(0.01)  # a signal amid os.fork is lost
        try:
            (folder / "begun").touch()
            time.sleep(30)
        except KeyboardInterrupt:
            time.sleep(3)  # longer than the demo takes to end without it
            (folder / "checkpoint").touch()
            raise


demo.fork = fork
demo.generate = lambda *arguments, **options: work("generate")
demo.commands_of = lambda *arguments: [
    demo.TitledCommand("part", ["part.py"], part=lambda: work("side by side"))]
sys.modules["evaluate"] = types.SimpleNamespace(main=lambda: work("evaluate"))
sys.argv = ["demo", "--smoke", "--folder", str(folder / "demo")]
run_script(demo.main)
"""


def test_every_step_has_a_line_with_its_time_and_what_comes_next(smoke):
    folder, output = smoke
    lines = [line for line in output.splitlines() if re.match(r" *\d+:\d\d  ", line)]
    steps = lines[2:-2]
    assert len(steps) == 7 and max(map(len, steps)) < 150
    for line in steps:
        assert re.match(r" *\d+:\d\d  VGG16, .*: \d+ s.*; (next|still): ", line), line
    assert ", test  accuracy" in steps[1] and ", 4 of 4 steps kept" in steps[2]
    assert lines[-1].endswith("these rates mean nothing")
    assert "$ python" not in output
    with open(os.path.join(folder, "demo", "log.txt"), encoding="utf-8") as file:
        log = file.read()
    assert log.count("$ python ") == log.count("# exit code 0; ") == 8
    assert "$ python train_model.py --model VGG16 " in log


@pytest.mark.parametrize("model, option, files", [
    ("VGG16", "--again", 4), ("VGG16", "--batch-size=32", 0), ("ResNet50", "--again", 0)])
def test_a_part_of_the_evaluation_is_what_is_to_be_predicted_of_one_classifier(
        smoke, monkeypatch, model, option, files):
    """The demo did that part of VGG16 before all of it, so that nothing is left without --again."""
    to_predict = []
    monkeypatch.setattr(evaluate, "bring_up_to_date",
                        lambda settings, to_do: to_predict.extend(to_do))
    folders = [f"--{name}-dir={os.path.join(smoke[0], 'demo', name)}"
               for name in ("data", "models", "results")]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *folders, option])
    demo.predict_rows_of(model)
    assert len({each.rows.folder for each in to_predict}) == files


def side_by_side(folder, cores, failing):
    """How demo.run_side_by_side ends for three commands, of which c comes first and b last.

    Returns the ended process, whose forks end by themselves, and the threads that each command had.
    """
    ended = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE, str(folder), str(cores), failing],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, cwd=checkout.ROOT)
    return ended, {path.name: path.read_text() for path in folder.iterdir() if path.name in "abc"}


@pytest.mark.parametrize("cores, threads", [(1, "1"), (2, "1"), (4, "2"), (8, "3")])
def test_a_command_waits_for_what_it_reads_and_has_its_share_of_the_cores(
        tmp_path, cores, threads):
    ended, threads_of_commands = side_by_side(tmp_path, cores, failing="none")
    assert ended.returncode == 0, ended.stderr
    assert threads_of_commands == dict.fromkeys("abc", threads)
    assert re.sub(r"\d+:\d\d|\d+ s", "", ended.stdout).split() == (
        "c: ; next: a a: ; next: b b: ; next: the end".split())


def test_no_command_begins_after_another_one_failed(tmp_path):
    ended, threads_of_commands = side_by_side(tmp_path, 2, failing="a")
    assert ended.returncode == 2
    assert "the demo stopped: part.py ended with exit code 2" in ended.stderr
    assert sorted(threads_of_commands) == ["a", "c"]


@pytest.mark.parametrize("step", ["generate", "side by side", "evaluate"])
def test_what_ends_the_demo_ends_what_it_runs_and_waits_for_its_checkpoints(tmp_path, step):
    """Else it would go on and hold the locks of its runs."""
    stopped = subprocess.Popen([sys.executable, "-c", STOPPED, str(tmp_path), step],
                               cwd=checkout.ROOT)
    while not (tmp_path / "begun").exists():
        assert stopped.poll() is None
        time.sleep(0.01)
    stopped.terminate()
    assert stopped.wait() == 130 and (tmp_path / "checkpoint").exists()


def claim(folder, seed=0, smoke=False):
    """What a demo does first."""
    demo.claim_folder(argparse.Namespace(folder=str(folder), seed=seed, smoke=smoke),
                      demo.read_settings())


def refused(folder, *options, monkeypatch):
    """Whether the demo ends before its first step, and says that --folder holds another one."""
    class FirstStep(Exception):
        pass

    def first_step(args, settings):
        raise FirstStep

    monkeypatch.setattr(demo, "run_study", first_step)
    monkeypatch.setattr(demo.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["demo", "--folder", str(folder), *options])
    with pytest.raises((UserError, FirstStep)) as ended:
        demo.main()
    return "give another --folder" in str(ended.value)


def test_a_demo_is_not_mixed_with_one_of_other_settings(tmp_path, monkeypatch):
    folder = tmp_path / "demo"
    claim(folder)
    assert not refused(folder, monkeypatch=monkeypatch)
    assert refused(folder, "--seed", "1", monkeypatch=monkeypatch)
    assert refused(folder, "--smoke", monkeypatch=monkeypatch)
    settings = dict(demo.read_settings(), norm_ratio=0.9)
    monkeypatch.setattr(demo, "read_settings", lambda: settings)
    assert refused(folder, monkeypatch=monkeypatch)
    assert os.listdir(str(folder)) == ["log.txt"]


@pytest.mark.parametrize("name", ["data", "models", "results"])
def test_a_demo_does_not_begin_among_files_of_unknown_settings(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    assert refused(tmp_path, monkeypatch=monkeypatch)
    assert os.listdir(str(tmp_path)) == [name]


def test_the_demo_ends_with_the_first_script_that_fails_and_its_message(tmp_path):
    claim(tmp_path, smoke=True)
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
    assert commands[0][-2:] == ["--check", os.path.relpath(demo.PROMISES)]
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


def test_a_finished_seed_is_not_run_again_and_counts_for_its_own_settings_only(
        tmp_path, monkeypatch):
    monkeypatch.setattr(demo_over_seeds.subprocess, "call", None)
    for place in (tmp_path / "3", tmp_path / "4"):
        claim(place, seed=3)
        (place / "results").mkdir()
        (place / "results" / "table.csv").touch()
    assert demo_over_seeds.run_demo(str(tmp_path), 3) == str(tmp_path / "3")
    with pytest.raises(UserError, match="4: holds a demo of other settings"):
        demo_over_seeds.run_demo(str(tmp_path), 4)


def test_a_demo_that_crashed_is_not_taken_for_one_whose_check_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_over_seeds.subprocess, "call", lambda command, **options: 1)
    with pytest.raises(UserError, match="3.out: the demo ended with exit code 1, before its check"):
        demo_over_seeds.run_demo(str(tmp_path), 3)


def test_the_demos_of_seeds_can_be_run_from_another_folder(tmp_path, monkeypatch):
    call, commands = subprocess.call, []

    def ask_for_help(command, **options):
        commands.append(command)
        return call(command + ["--help"], **options)

    monkeypatch.setattr(demo_over_seeds.subprocess, "call", ask_for_help)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        demo_over_seeds.run_demo("seeds", 3)
    assert commands[0][-2:] == ["--folder", str(tmp_path / "seeds" / "3")]
    assert "usage: demo.py" in (tmp_path / "seeds" / "3.out").read_text()
