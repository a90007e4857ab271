"""Bundles without or with little history: prototypes from descriptions, and new classes added to a bundle."""
