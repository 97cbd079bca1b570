"""Similar songs and playlists from a library."""
