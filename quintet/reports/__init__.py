"""How it is told: the only folder that imports matplotlib and shap."""
