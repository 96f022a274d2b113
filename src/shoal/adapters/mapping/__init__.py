"""Mapping files: which column of a team's table is which column of the event table.

`mapfile` reads and checks one, `draft` writes a first one by guessing from a table. Both speak YAML; what they make and
take is `events.formats.tabular`.
"""
