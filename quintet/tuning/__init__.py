"""Search for the settings of members."""
