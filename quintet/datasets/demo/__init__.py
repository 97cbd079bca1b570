"""Demo corpus: composition and synthesis of short pieces of music in numpy.

Reading order: sound, instruments, drums, harmony, patterns, styles, artists, mixing, piece, corpus.
"""
