"""Fit, calibrate and evaluate: tables in, models and judgements out.

It begins with the evaluation of policies (intervals, label delay, cohorts, challenge outcomes, threshold curves);
fitting follows. Knows tables and definitions only: no journal, no store, no engine.
"""
