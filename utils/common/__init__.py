"""What every step needs and no step is: errors, command lines, whole files, csv, JSON, checkpoints.

It may import libraries and nothing of this project. It must not know what an image, a network or a
UAP is.
"""
