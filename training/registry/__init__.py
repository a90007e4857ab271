"""MLflow, and nowhere else: tracking, registering, promoting and pulling bundles; start at `tracker.Tracker`."""
