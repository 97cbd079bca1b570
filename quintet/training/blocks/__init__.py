"""Blocks of clips that may have a common source, as groups of a run whose groups are not known."""
