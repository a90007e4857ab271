"""Routes, one noun a file; each only translates."""
