"""Fitted detectors: what one is asked to do (`definition`), and the file that answers (loading, scoring, reasons).

Fitting is the business of `learn`; here a model is read, verified against its own hashes and against the columns that
it will be given, and served. One scorer adds up the trees in one order, in training, serving and replay.
"""
