"""The store: SQL schema and migrations, engines, runs, metric series, journals, filters and artifacts."""
