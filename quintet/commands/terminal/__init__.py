"""Terminal: shared options, progress bars, tables and printed results."""
