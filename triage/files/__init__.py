"""Files that others have written or will open: what is read of them, and what is written into them."""
