"""What is kept so that state survives: snapshots, published packs, the engines built from both, retention."""
