"""The work that decisions make for people: which tickets wait, who has taken them, who looks at them."""
