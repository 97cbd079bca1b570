"""Networks in pure Keras 3: one file each, in the order of their paper. No other package imports keras."""
