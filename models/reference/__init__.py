"""Past tickets as a reference index: nearest neighbours, and how unlike them a new ticket is."""
