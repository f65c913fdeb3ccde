"""Backends, balancers and load of the rolling-deployment bench."""
