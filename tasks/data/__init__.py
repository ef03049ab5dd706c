"""Data of other libraries: datasets by their content, and tables, figures and images as artifacts."""
