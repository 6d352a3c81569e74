"""What every step of the study needs and no step is.

To the user: arguments, names, errors, terminal. Files: whole_files, hashes, csv_files, json_files,
figures. The run of a stage of the study: stage, locks, checkpoint, provenance. The machine:
background (threads that work ahead), memory. And success: what it means that an attack succeeds.

It may import libraries and nothing of this project. It must not know what an image, a network or a
UAP is.
"""
