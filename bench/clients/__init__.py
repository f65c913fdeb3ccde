"""Clients of the benches that are processes of their own."""
