"""The trained model as Python code holds it: predictions, SHAP values, explanations, saving and loading."""
