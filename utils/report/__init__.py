"""Tables, figures and the report: computed from the rows of the evaluation and from nothing else.

It may import every other room. It must not run a classifier.
"""
