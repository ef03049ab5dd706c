"""What a serving process needs, and nothing else: it is copied into every Bento.

Modules here import only the standard library, numpy and PyYAML (pandas where the signature has columns, bentoml where
they serve) and one another, because prefect-ml itself is not installed where a model is served.
"""
