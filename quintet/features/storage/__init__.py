"""Storage of feature tables and spectrograms."""
