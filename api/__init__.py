"""The HTTP service: `create_app(settings)` in `app` builds it, `triage serve` runs it."""
