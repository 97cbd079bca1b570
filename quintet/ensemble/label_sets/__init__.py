"""Sets of tags with a promised recall or precision."""
