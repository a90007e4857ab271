"""Presets: which column of which helpdesk's export plays which role, and mappings kept in files."""
