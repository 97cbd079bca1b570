"""Networks in pure Keras 3, one file each, in the order of their paper. The only folder that imports keras."""
