"""Flows: projects, serve-on-promotion, relay and reconcile, and the services that run them."""
