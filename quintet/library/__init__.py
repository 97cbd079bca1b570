"""The library: the music that somebody owns, with tags, features, answers and predictions of every song."""
