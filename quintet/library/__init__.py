"""The library: the music that somebody owns, with tags, features, answers and verdicts of every song."""
