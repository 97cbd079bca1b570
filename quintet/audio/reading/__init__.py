"""Reading of audio files: which decoder reads a file, how long the recording is, what is missing."""
