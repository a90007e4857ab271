"""A helpdesk simulated: tickets of a history go through tiers with staff, hours and handling times, arm by arm."""
