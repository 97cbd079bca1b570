"""How opinions are joined."""
