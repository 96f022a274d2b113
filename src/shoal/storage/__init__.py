"""Storage: the journal's segments, decision segments and the relational store."""
