"""The machine of the expressions: the lowering of trees to code, the register machine, the text stage.

Only `shoal.expressions.program` uses it. Knows typed trees, frames and Arrow arrays; no SQL and no names of lists.
"""
