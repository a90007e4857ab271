"""Embedding: the cache, ONNX export, fine-tuning, and the choice between encoders."""
