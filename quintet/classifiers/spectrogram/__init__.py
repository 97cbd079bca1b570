"""Classifier of spectrograms: patches, fitting, pooling."""
