"""Images as arrays: which files a data set has, how they are decoded, scaled, measured and split.

It may import utils.common. It must not know what a network is.
"""
