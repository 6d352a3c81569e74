"""What several test files share: two small classifiers, and copies of the project at work."""

import sys

import numpy as np
import pytest

import checkout

sys.path.insert(0, checkout.ROOT)


class ToyClassifier:
    """f(x) = A x + b, or, with hidden units, f(x) = A tanh(B x) + b; float64 throughout.

    Everything that the attacks ask of a classifier, from closed formulas.
    """

    shape = (3, 4, 3)

    def __init__(self, seed, classes=4, hidden=None):
        self.random = np.random.RandomState(seed)
        size = int(np.prod(self.shape))
        self.B = None if hidden is None else self.random.normal(size=(hidden, size)) / size ** 0.5
        self.A = self.random.normal(size=(classes, hidden or size))
        self.b = 0.1 * self.random.normal(size=classes)

    def images(self, n):
        return self.random.uniform(-1, 1, (n,) + self.shape).astype(np.float32)

    def image_of(self, label):
        """A random image of the class `label`."""
        return next(x for x in self.images(1000) if self.top(x) == label)

    def logits(self, batch):
        flat = np.asarray(batch, np.float64).reshape(len(batch), -1)
        return (flat if self.B is None else np.tanh(flat.dot(self.B.T))).dot(self.A.T) + self.b

    def f(self, x):
        return self.logits(x[np.newaxis])[0]

    def top(self, x):
        return int(self.f(x).argmax())

    def gradients(self, x):
        """The gradient of every logit, (K, h, w, c)."""
        if self.B is None:
            return self.A.reshape((-1,) + self.shape)
        slope = 1 - np.tanh(self.B.dot(np.asarray(x, np.float64).ravel())) ** 2
        return (self.A * slope).dot(self.B).reshape((-1,) + self.shape)

    def boundary_gradients_to_leave(self, x, label):
        f, g = self.f(x), self.gradients(x)
        return f, g - g[label] if f.argmax() == label else None

    def boundary_gradient_to_reach(self, x, target):
        f, g = self.f(x), self.gradients(x)
        return f, g[target] - g[f.argmax()] if f.argmax() != target else None

    def loss_gradient_to_leave(self, x, label):
        f = self.f(x)
        return f, self._rest_minus_label(x, label) if f.argmax() == label else None

    def loss_gradient_to_reach(self, x, target):
        f = self.f(x)
        return f, -self._rest_minus_label(x, target) if f.argmax() != target else None

    def minibatch_gradient_to_leave(self, x, labels):
        return self._minibatch_gradient(x, labels, 1)

    def minibatch_gradient_to_reach(self, x, labels):
        return self._minibatch_gradient(x, labels, -1)

    def _minibatch_gradient(self, x, labels, sign):
        f, g = self.logits(x), np.zeros(self.shape)
        for each, f_x, k in zip(x, f, labels):
            if sign * (np.log(np.exp(np.delete(f_x, k)).sum()) - f_x[k]) < 10:  # beta
                g += sign * self._rest_minus_label(each, k)
        return f, g / len(x)

    def _rest_minus_label(self, x, label):
        """The gradient of logsumexp_{k != label} f_k - f_label."""
        f, g = self.f(x), self.gradients(x)
        others = np.delete(np.arange(len(f)), label)
        weights = np.exp(f[others] - f[others].max())
        return np.tensordot(weights / weights.sum(), g[others], 1) - g[label]


@pytest.fixture
def toy():
    return ToyClassifier


@pytest.fixture
def model():
    """A small classifier of images (8, 8, 3) whose batch normalisation matters, of 4 classes that
    all occur, in a session for inference."""
    from utils.classifier.frameworks import keras, layers
    from utils.classifier.session import start_session

    start_session(0, inference=True)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(10, 3)(image)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    logits = layers.Dense(4, name="logits")
    model = keras.Model(image, layers.Activation("softmax")(logits(x)))
    random = np.random.RandomState(0)
    model.set_weights([w + random.uniform(0.2, 1, w.shape) if w.ndim == 1 else w
                       for w in model.get_weights()])
    images = np.random.RandomState(2).uniform(-1, 1, (100, 8, 8, 3))
    kernel, bias = logits.get_weights()
    mean = keras.Model(image, logits.output).predict(images).mean(axis=0)
    logits.set_weights([20 * kernel, 20 * (bias - mean)])
    return model


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """A copy of the project in which the README's demo was run with a handful of images.

    Returns its folder and what was printed.
    """
    folder = str(tmp_path_factory.mktemp("smoke"))
    checkout.make(folder)
    block = next(block for block in checkout.documented_commands() if checkout.DEMO in block)
    code, output = checkout.shell(folder, block)
    assert code == 0, output[-4000:]
    return folder, output


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A copy of the project in which all documented commands were run, in order.

    Returns its folder and the output of each block of commands.
    """
    folder = str(tmp_path_factory.mktemp("checkout"))
    checkout.make(folder)
    outputs = []
    for block in checkout.documented_commands():
        if "--dataset" in block or checkout.DEMO in block:
            continue  # tests/scripts/test_other_datasets.py runs the former, smoke() the latter
        code, output = checkout.shell(folder, ". .venv/bin/activate\n" + block)
        assert code == 0, f"a documented command failed:\n{block}\n{output[-4000:]}"
        outputs.append(output)
    return folder, outputs


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a copy of the project with two small VGG16, and one UAP for the first."""
    folder = str(tmp_path_factory.mktemp("trained"))
    checkout.make(folder)
    train = ("train_model.py", "--model", "VGG16", "--weights", "none", "--image-size", "32",
             "--epochs", "1", "--limit", "14")
    for words in (train, train + ("--name", "VGG16-other", "--seed", "1"),
                  ("make_uap.py", "--model-file", "models/VGG16.h5", "--source", "ilsvrc2012",
                   "--num-images", "3", "--name", "ilsvrc2012")):
        code, _, errors = checkout.script(folder, *words)
        assert code == 0, errors
    return folder


def pytest_addoption(parser):
    parser.addoption("--noise-seeds", type=int, default=3, help="seeds of the rounding noise under "
                     "which test_exactness.py compares the fast path with the plain one")


def pytest_collection_modifyitems(items):
    """The files that take longest begin, so that both cores end together."""
    longest = ("test_readme.py", "test_authors_architectures.py", "test_resume.py",
               "test_other_datasets.py", "test_disk.py")
    items.sort(key=lambda item: (longest + (item.fspath.basename,)).index(item.fspath.basename))
