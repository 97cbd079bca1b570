"""Commands about the music that somebody owns."""
