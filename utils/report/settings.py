"""Which runs stand in one table, and in what a run differs from the published one."""

from utils.attack.fgsm import STEP_SIZE
from utils.classifier.architectures import ARCHITECTURES
from utils.images.datasets import SOURCE_FOLDERS
from utils.images.isic2018 import ISIC2018_CLASSES

DOMAIN = "isic2018"  # the source of the classifier's own domain; the others are natural images
TITLES = {"open_images_v5": "Open Images V5", "ilsvrc2012": "ILSVRC2012", DOMAIN: "ISIC2018",
          "none": "no image", "deepfool": "DeepFool", "fgsm": "FGSM", "sgd": "SGD",
          "gd-uap": "GD-UAP"}
FIRST = ("deepfool", "inf")  # attack and norm of the first table, this project's own

# The published table's settings. Its attack is not stated: DeepFool is this project's, FGSM with
# this step is that of the study's example command, and a published rate may stand beside either.
PUBLISHED_ATTACKS = ("deepfool", "fgsm")
# It does not state the epochs either; training.RECIPES says how 100 are inferred.
PUBLISHED = {"norm": "inf", "norm_ratio": 0.04, "passes": 1, "image_size": 299, "recipe": "study",
             "epochs": 100, "learning_rate": 0.001, "batch_size": 32}
MIN_NATURAL_IMAGES = 10000  # fewer are marked; the follow-up took 100,000
MIN_ISIC_IMAGES = 6000      # its training set holds 7,000
MIN_TEST_IMAGES = 1000


def printed(name):
    """How a source or an attack is called in print."""
    return TITLES.get(name, name)


class Setting:
    """The runs of one attack and norm, which stand in one table.

    runs: dict from (model, source) to the EvaluatedUap that stands for this cell. others: further
    runs of the same cells. models, sources: of the table, in order. common: in what all of them differ
    from the published table; in_common: this as a sentence, or nothing. suffix: for the names of
    pictures. published: whether the published table may have been made in this way.
    """

    def __init__(self, attack, norm, runs):
        best = {}
        for run in sorted(runs, key=strength):
            best.setdefault((run.classifier.name, run.uap.source), run)
        used = {source for _, source in best}
        self.attack, self.title = attack, "UAPs by {}, L{} norm".format(printed(attack), norm)
        self.suffix = "" if (attack, norm) == FIRST else "-{}-l{}".format(attack, norm)
        self.published = attack in PUBLISHED_ATTACKS and norm == PUBLISHED["norm"]
        self.models = in_order(list(ARCHITECTURES) + [model for model, _ in best])
        takes_images = used != {"none"}
        self.sources = list(SOURCE_FOLDERS) if takes_images else []
        self.sources += sorted(used - set(SOURCE_FOLDERS))
        self.runs = {(model, source): best[model, source] for model in self.models
                     for source in self.sources if (model, source) in best}
        self.others = [run for run in runs if run not in best.values()]
        marks = [differences(run) for run in runs] or [[]]
        self.common = [mark for mark in marks[0] if all(mark in its for its in marks)]
        self.in_common = " Not as published: {}.".format(
            "; ".join(self.common)) if self.common else ""

    def domain_of(self, run):
        """The run from the classifier's own domain with the same bound; None: it, or not run."""
        domain = self.runs.get((run.classifier.name, DOMAIN))
        if domain not in (None, run) and domain.uap.norm_ratio == run.uap.norm_ratio:
            return domain
        return None

    def by_model(self):
        """Dict from a model to a dict from the title of a source to its Run."""
        found = {}
        for (model, source), run in self.runs.items():
            found.setdefault(model, {})[printed(source)] = run
        return found


def differences(run):
    """In what an EvaluatedUap differs from the published table: short texts; [] where it does not.

    Its seed and its architecture's name are no difference; what is not known is one.
    """
    classifier, weights = run.classifier, run.classifier.weights_from
    identity = dict({"step_size": "?", "target_fooling_rate": None}, **run.uap.identity)
    few = MIN_ISIC_IMAGES if run.uap.source == DOMAIN else MIN_NATURAL_IMAGES

    def mark(text, value):
        return text.format("?" if value is None else value)

    differs = (
        (run.uap.attack not in PUBLISHED_ATTACKS, printed(run.uap.attack)),
        (run.uap.norm != PUBLISHED["norm"], mark("L{} norm", run.uap.norm)),
        (run.uap.norm_ratio != PUBLISHED["norm_ratio"], mark("ratio {}", run.uap.norm_ratio)),
        (run.uap.passes != PUBLISHED["passes"], mark("{} passes", run.uap.passes)),
        (identity["target_fooling_rate"] is not None,
         mark("until {} fooled", identity["target_fooling_rate"])),
        (run.uap.attack == "fgsm" and (identity["step_size"] or STEP_SIZE) != STEP_SIZE,
         mark("step {}", identity["step_size"])),
        (run.uap.target is not None, mark("target {}", run.uap.target)),
        (run.uap.made_for != classifier.name, mark("made for {}", run.uap.made_for)),
        (classifier.class_names != ISIC2018_CLASSES, "other classes"),
        (classifier.image_size != PUBLISHED["image_size"], mark("{} px", classifier.image_size)),
        (classifier.recipe != PUBLISHED["recipe"], mark("recipe {}", classifier.recipe)),
        (classifier.epochs != PUBLISHED["epochs"], mark("{} epochs", classifier.epochs)),
        (classifier.learning_rate != PUBLISHED["learning_rate"],
         mark("learning rate {}", classifier.learning_rate)),
        (classifier.batch_size != PUBLISHED["batch_size"],
         mark("training batches of {}", classifier.batch_size)),
        (weights != "ImageNet by Keras", "weights from a file" if isinstance(weights, dict)
         else mark("{} weights", weights)),
        (run.uap.source not in SOURCE_FOLDERS, mark("from {}", printed(run.uap.source))),
        (run.uap.source != "none" and not (run.uap.images or 0) >= few,
         mark("{} images", run.uap.images)),
        (run.test_images < MIN_TEST_IMAGES, mark("{} test images", run.test_images)))
    return [text for is_different, text in differs if is_different]


def strength(run):
    """A key by which that run comes first which stands for all like it: as published, most images.
    """
    return len(differences(run)), -(run.uap.images or 0), run.uap.name


def in_order(models):
    """Names of models without repetition: the study's in its order, then the others by name."""
    return [m for m in ARCHITECTURES if m in models] + sorted(set(models) - set(ARCHITECTURES))


def own(runs):
    """Those runs that are untargeted and on the model that they were made for."""
    return [run for run in runs
            if run.uap.target is None and run.uap.made_for == run.classifier.name]


def find_settings(runs):
    """The Settings that have runs, DeepFool's L-infinity first; that one alone when none has.

    Targeted UAPs, and those evaluated on another model than their own, belong to none.
    """
    found = {}
    for run in own(runs):
        found.setdefault((run.uap.attack, run.uap.norm), []).append(run)
    return [Setting(attack, norm, its) for (attack, norm), its in sorted(
        (found or {FIRST: []}).items(), key=lambda item: item[0] != FIRST)]
