"""The one generic kernel: memory, tables, queues, sketches, pairs, the log, reads, and the loop over events."""
