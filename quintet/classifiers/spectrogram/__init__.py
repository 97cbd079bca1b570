"""Spectrogram classifier: patches, augmentation, fitting, pooling and storage of a network."""
