"""Networks in pure Keras 3, the only package that imports keras.

There is one file per paper, with the layers in the order of the paper.
"""

import os

# Read when Keras and TensorFlow are imported, and every import of them by this package comes after this one.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
