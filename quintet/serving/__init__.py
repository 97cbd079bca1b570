"""The service `quintet serve`: predictions and explanations over HTTP, from a model that stays in memory.

FastAPI and uvicorn are imported inside functions of this package only.
"""
