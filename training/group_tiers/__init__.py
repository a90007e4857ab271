"""Which resolver group is which tier, where no column says so: evidence from names, journeys, times and texts."""
