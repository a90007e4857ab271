"""A ticket's way to its decision: admission, queue, model in use, recording, and what people say afterwards."""
