"""Runtime: the only joint; wiring, writer, pipeline, commit, recovery, replay."""
