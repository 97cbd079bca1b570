"""A trained model for other programs: ONNX files and a JSON file that says what they read.

The package onnx is imported inside functions of this package only.
"""
