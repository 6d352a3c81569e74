"""Images as arrays: which files a data set has, how they are decoded, scaled, measured and split.

One file: decoding, pixels, norms. Many files: folders, presence, reading, fingerprint, copies. Data
sets: label_files, class_folders, isic2018, datasets, splits.
It may import utils.common. It must not know what a network is.
"""
