"""The page of a library: its server, its answers, and the files that a browser loads."""
