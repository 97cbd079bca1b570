"""Tags of the owner's files: read, planned, written and restored."""
