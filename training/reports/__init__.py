"""What a person reads: the HTML report, plots, the model card and decisions in words."""
