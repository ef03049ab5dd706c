"""prefect-ml."""
