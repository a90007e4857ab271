"""From a desk's export to labelled tickets: readers, columns, labels, duplicates and splits."""
