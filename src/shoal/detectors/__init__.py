"""Detectors: `score(batch) -> columns`, calibrated and with reasons; one sub-package a subject.

A detector's score of a row never depends on its neighbours in the batch, and scoring never learns. Fitting belongs to
`learn`, loading and verifying a model file belongs here. Knows arrays and tables: no journal, no store, no clock.
"""
