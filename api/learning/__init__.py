"""What people teach from the page: tickets worth labelling, themes that lack a category, and training as a job."""
