"""Step 2 of the study: the algorithms that make a UAP, and all that a run of one remembers.

To read it: uap is Algorithm 1, and deepfool or fgsm its line 6; passes, look_ahead and state are
what makes it fast and lets it be continued; attacks chooses, from settings. sgd and gd_uap are
loops of their own.

It may import utils.common, utils.images and utils.classifier. It must not know how a classifier was
trained, nor how a UAP is evaluated.
"""
