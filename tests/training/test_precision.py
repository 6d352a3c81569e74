"""What --precision bfloat16 does, and where it does not count."""

import numpy as np
import pytest

from utils.attack import settings as attack
from utils.classifier.frameworks import IS_TENSORFLOW_2, K, keras, layers, tf
from utils.classifier.session import session_config, start_session
from utils.common.errors import UserError

LAST_BIT = 2.0 ** -8  # of a bfloat16, as a share of the number


def logits_in(precision):
    """The logits of two images, by a convolution that TensorFlow would take 16 bits for."""
    start_session(0, inference=True, precision=precision)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(32, 3, activation="relu")(image)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    model = keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    random = np.random.RandomState(0)
    model.set_weights([random.normal(0, 0.1, weights.shape) for weights in model.get_weights()])
    assert {variable.dtype.base_dtype for variable in model.weights} == {tf.float32}
    return K.get_session().run(model.output, {model.input: random.normal(size=(2, 32, 32, 3))})


def test_logits_in_16_bits_agree_with_those_in_32_to_a_few_last_bits():
    if not IS_TENSORFLOW_2:
        with pytest.raises(UserError, match="--precision bfloat16: TensorFlow 1.*ENVIRONMENT=tf2"):
            start_session(0, inference=True, precision="bfloat16")
        return
    in_16, in_32 = logits_in("bfloat16"), logits_in("float32")
    assert in_16.dtype == in_32.dtype == np.float32
    assert np.linalg.norm(in_16 - in_32) < 4 * LAST_BIT * np.linalg.norm(in_32)
    options = session_config("bfloat16").graph_options.rewrite_options
    assert options.auto_mixed_precision_onednn_bfloat16 == options.ON
    assert not options.disable_meta_optimizer


def test_the_run_names_bfloat16_and_says_nothing_of_float32_as_before_there_was_a_choice():
    usual, in_16 = attack.AttackSettings(), attack.AttackSettings(precision="bfloat16")
    assert attack.run_name("ilsvrc2012", usual) == "ilsvrc2012"
    assert attack.run_name("ilsvrc2012", in_16) == "ilsvrc2012-bfloat16"
    assert "precision" not in attack.as_json(usual)
    assert attack.as_json(in_16) == dict(attack.as_json(usual), precision="bfloat16")
    assert attack.as_json(attack.AttackSettings(target="float32"))["target"] == "float32"
