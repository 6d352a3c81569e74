"""Step 1 of the study: the recipes and epochs of fine-tuning, and the pictures of a training.

It may import utils.common, utils.images and utils.classifier. It must not know the attack.
"""
