"""Tickets between tiers: when one moves, what goes with it, and which question settles where it belongs."""
