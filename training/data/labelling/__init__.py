"""What stands in cells of labels: markup, placeholders, several labels at once, paths through a hierarchy."""
