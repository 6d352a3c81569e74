"""Step 2 of the study: the algorithms that make a UAP, and all that a run of one remembers.

It may import utils.common, utils.images and utils.classifier. It must not know how a classifier was
trained, nor how a UAP is evaluated.
"""
