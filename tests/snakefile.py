"""The Snakefile, run by a real Snakemake: `make test-snakefile`, in an environment of its own.

Not part of `make test`, whose Python 3.7 has no Snakemake. The scripts are replaced by one that
only writes their outputs, so the whole grid takes seconds.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODELS = ("VGG16", "ResNet50", "InceptionV3")
RUNS = ("open_images_v5-images-100000", "ilsvrc2012-images-100000", "isic2018")

FAKE_PYTHON = """#!{python}
import os, sys
sys.path.insert(0, os.getcwd())
import dataclasses
from utils.attack.settings import AttackSettings, run_name

def option(name):
    return sys.argv[sys.argv.index(name) + 1]

def touch(*paths):
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()

words = " ".join(sys.argv[1:])
with open("commands", "a") as file:
    print(words, file=file)
if os.path.exists("interrupt") and open("interrupt").read() in words:
    touch("results/VGG16/.isic2018.partial/checkpoint.npz")
    sys.exit(130)
if words.startswith("train_model.py"):
    stem = os.path.join(option("--models-dir"), option("--model"))
    stem += "-" + option("--dataset") if "--dataset" in sys.argv else ""
    touch(stem + ".h5", stem + ".json")
elif words.startswith("make_uap.py"):
    types = dict(norm=float, norm_ratio=float, num_images=int, passes=int, seed=int)
    run = run_name(option("--source"), AttackSettings(**{{
        each.name: types.get(each.name, str)(option("--" + each.name.replace("_", "-")))
        for each in dataclasses.fields(AttackSettings)
        if "--" + each.name.replace("_", "-") in sys.argv}}))
    model = os.path.splitext(os.path.basename(option("--model-file")))[0]
    assert option("--name") == run or "--target" in sys.argv
    assert not {{"gd-uap", "--passes"}} <= set(sys.argv)
    folder = os.path.join(option("--results-dir"), model, option("--name"))
    touch(os.path.join(folder, "uap.npy"), os.path.join(folder, "run.json"))
elif words.startswith("evaluate.py"):
    for name in ("table.csv", "table.md", "report.md", "report.html"):
        touch(os.path.join(option("--results-dir"), name))
"""


@pytest.fixture
def project(tmp_path):
    shutil.copytree(os.path.join(ROOT, "utils"), str(tmp_path / "utils"),
                    ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "requirements.txt", "tests/requirements.txt", "data/demo.yaml"):
        os.makedirs(str(tmp_path / os.path.dirname(name)), exist_ok=True)
        shutil.copy(os.path.join(ROOT, name), str(tmp_path / name))
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON.format(python=sys.executable))
    python.chmod(0o755)
    (tmp_path / ".venv" / "pins").write_bytes(subprocess.check_output(
        "cat requirements.txt tests/requirements.txt | cksum", shell=True, cwd=str(tmp_path)))
    return tmp_path


def snakemake(project, *words):
    done = subprocess.run([os.path.join(os.path.dirname(sys.executable), "snakemake")]
                          + list(words), cwd=str(project), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    return done.returncode, done.stdout


def planned(project, *words):
    """What a dry run lists: the outputs of its train and uap jobs, without their extension."""
    code, output = snakemake(project, "-n", *words, "table")
    assert code == 0, output
    return {os.path.dirname(path) if path.endswith("uap.npy") else os.path.splitext(path)[0]
            for path in re.findall(r"^    output: (\S+?),? ", output, re.MULTILINE)
            if path.endswith((".h5", "uap.npy"))}


def commands(project):
    return (project / "commands").read_text().splitlines()


def test_every_command_that_the_snakefile_prints_works(project):
    text = (project / "Snakefile").read_text() + (project / "data" / "demo.yaml").read_text()
    found = re.findall(r"^#? +snakemake (.*?table)", text, re.MULTILINE)
    assert len(found) == 5
    for words in found:
        code, output = snakemake(project, "-n", *words.split())
        assert code == 0 and re.search("^uap +9$", output, re.MULTILINE), words


def test_the_grid_is_made_once_and_a_dry_run_lists_exactly_what_is_missing(project):
    models = {"models/" + m for m in MODELS}
    runs = {f"results/{m}/{s}" for m in MODELS for s in RUNS}
    assert planned(project, "--cores", "1") == models | runs
    assert snakemake(project, "--cores", "2", "table")[0] == 0
    scripts = [command.split()[0] for command in commands(project)]
    assert [scripts.count(name) for name in ("train_model.py", "make_uap.py", "evaluate.py")] == [
        3, 9, 1]
    assert scripts[-1] == "evaluate.py"
    assert planned(project, "--cores", "2") == set()
    missing = {"results/VGG16/isic2018", "results/ResNet50/ilsvrc2012-images-100000"}
    for folder in missing:
        shutil.rmtree(str(project / folder))
    assert planned(project, "--cores", "1") == missing
    assert planned(project, "--cores", "1", "--config", "attack=[deepfool,fgsm]", "--") == (
        missing | {run.replace("isic2018", "isic2018-fgsm").replace("-images", "-fgsm-images")
                   for run in runs})
    os.remove(str(project / "models" / "ResNet50.h5"))  # to be trained again
    assert planned(project, "--cores", "1") == missing | {"models/ResNet50"} | {
        run for run in runs if "ResNet50" in run}


def test_an_interrupted_grid_continues_and_its_checkpoint_is_kept(project):
    (project / "interrupt").write_text("make_uap.py --model-file models/VGG16.h5 --data-dir data "
                                       "--results-dir results --source isic2018")
    assert snakemake(project, "--cores", "1", "--keep-going", "table")[0] != 0
    checkpoint = project / "results" / "VGG16" / ".isic2018.partial" / "checkpoint.npz"
    assert checkpoint.exists()
    assert planned(project, "--cores", "1") == {"results/VGG16/isic2018"}
    (project / "interrupt").unlink()
    before = len(commands(project))
    assert snakemake(project, "--cores", "1", "table")[0] == 0
    assert [command.split()[0] for command in commands(project)[before:]] == [
        "make_uap.py", "evaluate.py"]
    assert checkpoint.exists()


def test_the_slurm_executor_lists_the_jobs_without_a_change(project):
    code, output = snakemake(project, "-n", "--executor", "slurm", "--jobs", "12", "table")
    assert code == 0, output
    for line in ("train +3", "uap +9", "evaluate +1"):
        assert re.search("^" + line + "$", output, re.MULTILINE)
    assert "runtime=4320" in output and "mem_mb=12000" in output


def test_the_configuration_reaches_the_scripts(project):
    assert snakemake(project, "--cores", "2", "--configfile", "data/demo.yaml", "--config",
                     "natural_images=7", "isic_images=50", "norm=2", "data_dir=my data", "--",
                     "table")[0] == 0
    found = commands(project)
    assert sum("--num-images 7" in command for command in found) == 6
    assert sum("--source isic2018" in command and "--num-images 50" in command
               for command in found) == 3
    assert all("--norm 2" in command for command in found if command.startswith("make_uap"))
    assert all("--data-dir my data" in command for command in found)
    pretrained, tuned = [c for c in found if "--model ResNet50" in c]
    assert "--dataset natural --weights none" in pretrained
    assert "--weights demo/models/ResNet50-natural.h5" in tuned
    settings = (project / "data/demo.yaml").read_text()
    size, = re.findall(r"^image_size: .*ResNet50: (\d+)", settings, re.MULTILINE)
    norm_ratio, = re.findall(r"^norm_ratio: (\S+)", settings, re.MULTILINE)
    assert f"--image-size {size} " in tuned and "--learning-rate" in tuned
    assert (project / "demo" / "results" / "ResNet50" / f"ilsvrc2012-l2-ratio-{norm_ratio}-images-7"
            / "uap.npy").exists()


def test_any_options_of_a_run_and_any_combination_of_choices_leave_the_files_that_are_expected(
        project):
    assert snakemake(project, "--cores", "2", "--config", "attack=[sgd,gd-uap]", "passes=2",
                     "uap_options=--target NV", "models=[VGG16]", "--", "table")[0] == 0
    assert sum(command.startswith("make_uap.py") for command in commands(project)) == 4


def test_a_number_reaches_the_script_with_all_its_digits(project):
    assert snakemake(project, "--cores", "2", "--config", "norm_ratio=[0.04000001,0.123456789]",
                     "models=[VGG16]", "--", "table")[0] == 0
    runs = [command for command in commands(project) if command.startswith("make_uap.py")]
    assert sum("--norm-ratio 0.04000001 " in command for command in runs) == 3
    assert sum("--norm-ratio 0.123456789 " in command for command in runs) == 3


def test_a_misspelt_configuration_is_an_error(project):
    code, output = snakemake(project, "-n", "--cores", "1", "--config", "datadir=x", "--", "table")
    assert code != 0 and "unknown in --config: datadir" in output
