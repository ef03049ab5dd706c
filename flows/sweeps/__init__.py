"""Sweeps: many trials of one flow or project, searched in parallel."""
