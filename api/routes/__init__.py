"""Routes, one noun a module: each turns a request into a call, and the result into an answer."""
