"""Written rules: the rule book that matches tickets, read from and written to TOML."""
