"""Is it any good: numbers only, no plotting, no files."""
