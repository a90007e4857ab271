"""Delimited text, as helpdesks and spreadsheets write it; start at `open_delimited`."""

from training.data.formats.delimited.opening import open_delimited

__all__ = ["open_delimited"]
