"""The trained ensemble on disk, and the typed content of its files."""
