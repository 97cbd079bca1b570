"""Tempo, key and energy of a song, from its features and its log-mel spectrogram."""
