"""The desk's policy: tiers, categories, resolver groups and what goes with them, read from and written to TOML."""
