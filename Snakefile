"""The whole grid: train the classifiers, make a UAP from each source for each, evaluate them all.

    snakemake --cores 2 table                                    on this machine
    snakemake --executor slurm --jobs 12 --retries 9 table       on a cluster
    snakemake --configfile data/demo.yaml --cores 2 table        the demo's grid

Add -n to see what would run: only what is missing or out of date does. A job that was interrupted,
or reached its time limit, is continued by the next try from the script's own checkpoint, which lies
beside the outputs and is not one of them.

The defaults are those of the scripts, and the study's. Change them with --config or a file:

    snakemake --config data_dir=/data natural_images=10000 norm=2 image_size=128 --cores 2 table

attack and norm can be lists, '[deepfool,sgd,gd-uap]'; gd-uap needs no source. image_size and
train_options can be given for each model.
"""

CONFIG = {
    "data_dir": "data", "models_dir": "models", "results_dir": "results",
    "models": ["VGG16", "ResNet50", "InceptionV3"],
    "natural_sources": ["open_images_v5", "ilsvrc2012"],
    "natural_images": 100000,  # drawn from each natural source
    "isic_images": None,       # None: the model's whole training set
    "attack": "deepfool",
    "norm": "inf",
    "image_size": 299,
    # anything else that the scripts take, such as "--epochs 5 --weights none"
    "train_options": "", "uap_options": "", "evaluate_options": "",
}

unknown = set(config) - set(CONFIG)
if unknown:
    raise WorkflowError("unknown in --config: {}; expected some of {}".format(
        ", ".join(sorted(unknown)), ", ".join(CONFIG)))
CONFIG.update(config)

DATA, MODELS, RESULTS = (str(CONFIG[key]) for key in ("data_dir", "models_dir", "results_dir"))
PYTHON = "sh utils/environment.sh python"


def as_list(value):
    return value if isinstance(value, list) else [value]


def run_name(source, attack, norm):
    """The folder that make_uap.py chooses."""
    return "-".join([source] + ([attack] if attack != "deepfool" else [])
                    + (["l{}".format(norm)] if str(norm) != "inf" else []))


RUNS = {run_name(source, attack, norm): (source, attack, norm)
        for attack in as_list(CONFIG["attack"]) for norm in as_list(CONFIG["norm"])
        for source in (["none"] if attack == "gd-uap"
                       else CONFIG["natural_sources"] + ["isic2018"])}


def uap_options(wildcards):
    source, attack, norm = RUNS[wildcards.run]
    images = CONFIG["isic_images" if source == "isic2018" else "natural_images"]
    return "--source {} --attack {} --norm {}{} {}".format(
        source, attack, norm,
        "" if images is None or source == "none" else " --num-images {}".format(images),
        CONFIG["uap_options"])


def for_model(key):
    """What the configuration gives for all models, or for each."""
    given = CONFIG[key]
    return lambda wildcards: given[wildcards.model] if isinstance(given, dict) else given


wildcard_constraints:
    model="|".join(CONFIG["models"]),
    run="|".join(RUNS),


CELLS = expand(RESULTS + "/{model}/{run}/{file}", model=CONFIG["models"], run=RUNS,
               file=["uap.npy", "run.json"])
CLASSIFIERS = expand(MODELS + "/{model}{end}", model=CONFIG["models"], end=[".h5", ".json"])
REPORT = expand(RESULTS + "/{file}", file=["table.csv", "table.md", "report.md"])


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
    params: uap_options
    threads: 8
    resources: mem_mb=12000, runtime=4320
    shell:
        PYTHON + " make_uap.py --model-file {input[0]:q} --data-dir {DATA:q}"
        " --results-dir {RESULTS:q} {params}"


rule train:
    """One classifier."""
    input:
        environment=ancient(".venv/pins"),
    output:
        MODELS + "/{model}.h5",
        MODELS + "/{model}.json",
    params: size=for_model("image_size"), options=for_model("train_options")
    threads: 8
    resources: mem_mb=24000, runtime=4320
    shell:
        PYTHON + " train_model.py --model {wildcards.model} --image-size {params.size}"
        " --data-dir {DATA:q} --models-dir {MODELS:q} {params.options}"


rule environment:
    """The scripts' own Python, before several jobs would make it at once."""
    input: "requirements.txt", "tests/requirements.txt"
    output: ".venv/pins"
    localrule: True
    shell: PYTHON + " --version"
