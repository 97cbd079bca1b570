"""How the predictions of a model change if recordings do."""
