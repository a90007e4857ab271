"""MLflow: tracking runs, registering bundles, promoting and pulling them; its only importer."""
