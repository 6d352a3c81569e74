"""The networks of keras_applications 1.0.8: where each is defined, and its ImageNet weights.

ResNeXt is left out: its layers are made of code, which no file of a classifier may hold.
"""

import importlib
from typing import Any, NamedTuple, Optional

_RESNET = "BASE_WEIGHTS_PATH"
_RESNET_FILE = "_weights_tf_dim_ordering_tf_kernels_notop.h5"


class KerasNetwork(NamedTuple):
    """Where an architecture is defined, and where its ImageNet weights are.

    module: of keras_applications, or the whole name of another one. min_image_size: the smallest
    height and width that it takes. address: the attribute of the module that holds the address of
    the weights without top, or of their folder. file: their name in that folder, or nothing. md5:
    as keras_applications lists it; None where it lists none.
    """

    module: str
    min_image_size: int
    address: str
    file: str
    md5: Optional[str]


KERAS_NETWORKS = {
    "VGG16": KerasNetwork("vgg16", 32, "WEIGHTS_PATH_NO_TOP", file="",
                          md5="6d6bbae143d832006294945121d1f1fc"),
    "ResNet50": KerasNetwork("resnet50", 32, "WEIGHTS_PATH_NO_TOP", file="",
                             md5="a268eb855778b3df3c7506639542a6af"),
    "InceptionV3": KerasNetwork("inception_v3", 75, "WEIGHTS_PATH_NO_TOP", file="",
                                md5="bcbd6486424b2319ff4ef7d526e38f63"),
    "VGG19": KerasNetwork("vgg19", 32, "WEIGHTS_PATH_NO_TOP", file="",
                          md5="253f8cb515780f3b799900260a226db6"),
    "InceptionResNetV2": KerasNetwork(
        "inception_resnet_v2", 75, "BASE_WEIGHT_URL",
        file="inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5="d19885ff4a710c122648d3b5c3b684e4"),
    "DenseNet121": KerasNetwork("densenet", 32, "DENSENET121_WEIGHT_PATH_NO_TOP", file="",
                                md5="30ee3e1110167f948a6b9946edeeb738"),
    "DenseNet169": KerasNetwork("densenet", 32, "DENSENET169_WEIGHT_PATH_NO_TOP", file="",
                                md5="b8c4d4c20dd625c148057b9ff1c1176b"),
    "DenseNet201": KerasNetwork("densenet", 32, "DENSENET201_WEIGHT_PATH_NO_TOP", file="",
                                md5="c13680b51ded0fb44dff2d8f86ac8bb1"),
    "Xception": KerasNetwork("xception", 71, "TF_WEIGHTS_PATH_NO_TOP", file="",
                             md5="b0042744bf5b25fce3cb969f33bebb97"),
    "MobileNet": KerasNetwork("mobilenet", 32, "BASE_WEIGHT_PATH",
                              file="mobilenet_1_0_224_tf_no_top.h5", md5=None),
    "MobileNetV2": KerasNetwork(
        "mobilenet_v2", 32, "BASE_WEIGHT_PATH",
        file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", md5=None),
    "NASNetMobile": KerasNetwork("nasnet", 32, "NASNET_MOBILE_WEIGHT_PATH_NO_TOP", file="",
                                 md5="1ed92395b5b598bdda52abe5c0dbfd63"),
    "NASNetLarge": KerasNetwork("nasnet", 32, "NASNET_LARGE_WEIGHT_PATH_NO_TOP", file="",
                                md5="d81d89dc07e6e56530c4e77faddd61b5"),
    "ResNet101": KerasNetwork("resnet", 32, _RESNET, file="resnet101" + _RESNET_FILE,
                              md5="88cf7a10940856eca736dc7b7e228a21"),
    "ResNet152": KerasNetwork("resnet", 32, _RESNET, file="resnet152" + _RESNET_FILE,
                              md5="ee4c566cf9a93f14d82f913c2dc6dd0c"),
    "ResNet50V2": KerasNetwork("resnet_v2", 32, _RESNET, file="resnet50v2" + _RESNET_FILE,
                               md5="fac2f116257151a9d068a22e544a4917"),
    "ResNet101V2": KerasNetwork("resnet_v2", 32, _RESNET, file="resnet101v2" + _RESNET_FILE,
                                md5="c0ed64b8031c3730f411d2eb4eea35b5"),
    "ResNet152V2": KerasNetwork("resnet_v2", 32, _RESNET, file="resnet152v2" + _RESNET_FILE,
                                md5="ed17cf2e0169df9d443503ef94b23b33"),
}


def keras_module(architecture: str) -> Any:
    """Return the module that defines an architecture, most often one of keras_applications."""
    name = KERAS_NETWORKS[architecture].module
    return importlib.import_module(name if "." in name else "keras_applications." + name)


def address_of_weights(architecture: str) -> str:
    """Return where Keras' ImageNet weights without top are downloaded from."""
    network = KERAS_NETWORKS[architecture]
    module = keras_module(architecture)
    if network.address == _RESNET:  # resnet and resnet_v2 take it from a module of their own
        module = importlib.import_module("keras_applications.resnet_common")
    return getattr(module, network.address) + network.file
