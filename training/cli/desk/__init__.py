"""Verbs about the desk as a whole: how it would run, and what it could hand down."""
