"""A small orchestra in numpy. Read in this order: sound, instruments, drums, harmony, patterns, styles, artists, mixing, piece."""
