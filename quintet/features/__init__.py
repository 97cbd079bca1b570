"""Hand-made descriptions of sound."""
