"""The whole grid: train the classifiers, make a UAP from each source for each, evaluate them all.

    snakemake --cores 2 table                                    on this machine
    snakemake --executor slurm --jobs 12 --retries 9 table       on a cluster
    snakemake --configfile data/demo.yaml --cores 2 table        the demo's grid

Snakemake needs a modern Python, and an environment of its own:

    python3 -m venv .snakemake-env && .snakemake-env/bin/pip install snakemake==9.27.1 \\
        snakemake-executor-plugin-slurm==2.8.0

Add -n to see what would run: only what is missing or out of date does. A job that was interrupted,
or reached its time limit, is continued by the next try from the script's own checkpoint, which lies
beside the outputs and is not one of them.

The defaults are those of the scripts, and 100,000 natural images as in the follow-up's code. Change
them with --config or a file:

    snakemake --config data_dir=/data natural_images=10000 norm=2 image_size=128 --cores 2 table

attack, norm, norm_ratio, passes and seed can be lists, '[deepfool,sgd,gd-uap]': every combination is
a run of its own. image_size, pretrain_options and train_options can be given for each model. With
pretrain_dataset, each model is first trained on that data set from random weights.
"""

import itertools
import re
import sys

sys.path.insert(0, workflow.basedir)

from utils.attack.settings import AttackSettings, exact, other_than_default, run_name

CONFIG = {
    "data_dir": "data", "models_dir": "models", "results_dir": "results",
    "models": ["VGG16", "ResNet50", "InceptionV3"],
    "natural_sources": ["open_images_v5", "ilsvrc2012"],
    "natural_images": 100000,  # drawn from each natural source
    "isic_images": None,       # None: the model's whole training set
    "sgd_images": None,        # drawn from each natural source for sgd; None: natural_images
    "attack": "deepfool", "norm": "inf", "norm_ratio": 0.04, "passes": 1, "seed": 0,
    "image_size": 299,
    "pretrain_dataset": None,
    # anything else that the scripts take, such as "--epochs 5 --weights none"
    "pretrain_options": "", "train_options": "", "uap_options": "", "evaluate_options": "",
}

unknown = set(config) - set(CONFIG)
if unknown:
    raise WorkflowError(f"unknown in --config: {', '.join(sorted(unknown))}; expected some of "
                        f"{', '.join(CONFIG)}")
CONFIG.update(config)

DATA, MODELS, RESULTS = (str(CONFIG[key]) for key in ("data_dir", "models_dir", "results_dir"))
PYTHON = "sh utils/environment.sh python"


def as_list(value):
    return value if isinstance(value, list) else [value]


SWEPT = ("attack", "norm", "norm_ratio", "passes", "seed")


def images_from(source, attack):
    """How many images are drawn from a source, None for all."""
    if source == "isic2018":
        return CONFIG["isic_images"]
    if attack == "sgd" and CONFIG["sgd_images"]:
        return CONFIG["sgd_images"]
    return CONFIG["natural_images"]


def planned_settings():
    """The source and the settings of each run."""
    for values in itertools.product(*(as_list(CONFIG[option]) for option in SWEPT)):
        settings = dict(zip(SWEPT, values))
        for option in ("norm", "norm_ratio"):
            settings[option] = float(settings[option])  # of --config, text or a whole number
        if settings["attack"] == "gd-uap":
            settings["passes"] = 1
            yield "none", AttackSettings(**settings)
            continue
        for source in CONFIG["natural_sources"] + ["isic2018"]:
            images = images_from(source, settings["attack"])
            yield source, AttackSettings(num_images=images, **settings)


def find_runs():
    """The options of each run, by the folder that make_uap.py chooses."""
    runs = {}
    for source, settings in planned_settings():
        options = [f"--source {source}"]
        for option, value in other_than_default(settings).items():
            options.append(f"--{option.replace('_', '-')} {exact(value)}")
        runs[run_name(source, settings)] = " ".join(options)
    return runs


RUNS = find_runs()


def for_model(key):
    """What the configuration gives for all models, or for each."""
    given = CONFIG[key]
    return lambda wildcards: given[wildcards.model] if isinstance(given, dict) else given


wildcard_constraints:
    model="|".join(CONFIG["models"]),
    run="|".join(map(re.escape, RUNS)),


CELLS = expand(RESULTS + "/{model}/{run}/{file}", model=CONFIG["models"], run=RUNS,
               file=["uap.npy", "run.json"])
CLASSIFIERS = expand(MODELS + "/{model}{end}", model=CONFIG["models"], end=[".h5", ".json"])
REPORT = expand(RESULTS + "/{file}", file=["table.csv", "table.md", "report.md", "report.html"])


rule table:
    """Everything. Names the cells, because a missing input of a file that exists is not made."""
    input: CLASSIFIERS, CELLS, REPORT
    localrule: True


rule evaluate:
    """The table and the report, of every UAP below the results folder."""
    input:
        CLASSIFIERS,
        CELLS,
        environment=ancient(".venv/pins"),
    output: REPORT
    threads: 8
    resources: mem_mb=16000, runtime=1440
    shell:
        PYTHON + " evaluate.py --data-dir {DATA:q} --models-dir {MODELS:q}"
        " --results-dir {RESULTS:q} {CONFIG[evaluate_options]}"


rule uap:
    """One UAP: one model, one source, one attack and norm."""
    input:
        MODELS + "/{model}.h5",
        MODELS + "/{model}.json",
        environment=ancient(".venv/pins"),
    output:
        RESULTS + "/{model}/{run}/uap.npy",
        RESULTS + "/{model}/{run}/run.json",
    params: options=lambda wildcards: RUNS[wildcards.run]
    threads: 8
    resources: mem_mb=12000, runtime=4320
    shell:
        PYTHON + " make_uap.py --model-file {input[0]:q} --data-dir {DATA:q}"
        " --results-dir {RESULTS:q} {params.options} --name {wildcards.run:q}"
        " {CONFIG[uap_options]}"


PRETRAINED = f"{MODELS}/{{model}}-{CONFIG['pretrain_dataset']}.h5"


rule train:
    """One classifier."""
    input:
        weights=[PRETRAINED] if CONFIG["pretrain_dataset"] else [],
        environment=ancient(".venv/pins"),
    output:
        MODELS + "/{model}.h5",
        MODELS + "/{model}.json",
    params: size=for_model("image_size"), options=for_model("train_options"),
        weights=lambda wildcards, input: "--weights" if input.weights else ""
    threads: 8
    resources: mem_mb=24000, runtime=4320
    shell:
        PYTHON + " train_model.py --model {wildcards.model} --image-size {params.size}"
        " --data-dir {DATA:q} --models-dir {MODELS:q} {params.weights} {input.weights:q}"
        " {params.options}"


rule pretrain:
    """One network, on another data set, from random weights."""
    input:
        environment=ancient(".venv/pins"),
    output:
        PRETRAINED,
        PRETRAINED[:-len("h5")] + "json",
    params: size=for_model("image_size"), options=for_model("pretrain_options")
    threads: 8
    resources: mem_mb=24000, runtime=4320
    shell:
        PYTHON + " train_model.py --model {wildcards.model} --image-size {params.size}"
        " --dataset {CONFIG[pretrain_dataset]} --weights none"
        " --data-dir {DATA:q} --models-dir {MODELS:q} {params.options}"


rule environment:
    """The scripts' own Python, before several jobs would make it at once."""
    input: "requirements.txt", "tests/requirements.txt"
    output: ".venv/pins"
    localrule: True
    shell: PYTHON + " --version"
