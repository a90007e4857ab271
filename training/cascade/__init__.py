"""Learning a first stage: static vectors, a small model on them, and what both stages answer and cost."""
