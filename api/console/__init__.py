"""What the console is asked for and what it shows, apart from how it looks: filters, figures, timelines, versions."""
