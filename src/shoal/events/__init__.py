"""Events: the event table's schema, the keyed identity, codecs and formats, facts, labels and the journal's records.

The lowest domain package. It takes bytes and gives tables; it knows no clock, no disk and no engine.
"""
