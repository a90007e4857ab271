"""What a model sees of a ticket: word and character n-grams, categorical fields, LSA components."""
