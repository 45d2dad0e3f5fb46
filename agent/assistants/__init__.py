"""The platforms that speak with the caller, and how each is told."""
