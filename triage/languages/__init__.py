"""Languages: what people and programs call them, the one code that each has here, and scripts they are written in."""
