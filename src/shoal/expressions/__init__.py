"""Expressions: the one SQL scalar language in which a person writes a condition, and its one evaluator.

Takes texts and columns, gives columns; knows no disk, no clock and no pack. See docs/expressions.md for the semantics.
"""
