"""Shapley values: exact ones of trees, linear models and support vector machines, and values of feature
families."""
