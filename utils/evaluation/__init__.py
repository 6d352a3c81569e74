"""Step 3 of the study: what a classifier predicts under a UAP, as rows, and the rates of these.

It may import every room but utils.report. It must not know how its numbers are shown.
"""
