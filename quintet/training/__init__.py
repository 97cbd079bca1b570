"""Training of an ensemble on a feature table, with its scores, leak gate and learning curve."""
