"""Networks in pure Keras 3, the only package that imports keras.

There is one file per paper, with the layers in the order of the paper.
"""
