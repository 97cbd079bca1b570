"""What is chosen for members before they are fused: their penalties, their temperatures, and their views."""
