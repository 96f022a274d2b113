"""Policy: from rule matches and scores to a decision for each subject."""
