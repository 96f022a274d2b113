"""The mappings of the formats as data, a module each; nothing is computed here.

Readers import them; the tests hold their names to the event table. A new format adds a module.
"""
