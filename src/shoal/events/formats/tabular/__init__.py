"""Tables of any team as events: CSV and Parquet, by a mapping that says which column is what.

`plan` is the mapping as checked data, `cells` reads single values, `decoder` makes events of rows. Where a mapping file
is read, and conditions are compiled, is `adapters.mapping`: nothing here knows YAML or expressions.
"""
