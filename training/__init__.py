"""From a desk's history to a promoted bundle."""
