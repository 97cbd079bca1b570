"""Text files whose cells stand between separators: separator, header, numbers."""
