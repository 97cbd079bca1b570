"""Files: atomic writing, remote paths, provenance."""
