"""Files that somebody else may have put where they are looked for."""
