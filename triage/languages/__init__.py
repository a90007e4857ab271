"""Languages as people and programs name them, and the one code that each has here."""
