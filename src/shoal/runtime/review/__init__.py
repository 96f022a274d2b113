"""Review: replay, explain, findings, scoring, the doctor and erasure; all work on what is durable."""
