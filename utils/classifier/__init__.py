"""The classifiers: architectures, weights, saved models, and the device and session they run in.

It may import utils.common and utils.images. It must not know how a classifier is trained or
attacked.
"""
