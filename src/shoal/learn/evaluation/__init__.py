"""Judge a fitted detector: figures with intervals, slices, comparisons, drift, and the card that shows them.

`evaluate` one model, `compare` two on the same rows, `monitor` one that is in service; `card` gathers what a reader
needs to trust it or not. Subjects are the unit of every interval, since a subject's rows are no independent evidence.
"""
