"""Quintet models in MLflow: `log_model(model)`, and a `pyfunc` that predicts recordings or tables.

Importing this package does not import MLflow.
"""

from quintet.mlflow.flavor import FLAVOR_NAME, PyfuncModel, _load_pyfunc, load_model, log_model, save_model

__all__ = ["FLAVOR_NAME", "PyfuncModel", "_load_pyfunc", "load_model", "log_model", "save_model"]
