"""The fitted ensemble as plain arrays and JSON: it predicts with NumPy, and cannot carry code."""
