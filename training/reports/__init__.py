"""What a person reads: the HTML report, plots, the model card, decisions in words; start at `report.report`."""
