"""Rows out of what helpdesks export: delimited text, JSON, XML, workbooks and Parquet; start at `open_source`."""

from training.data.formats.opening import KNOWN_ENDINGS, open_source
from training.data.formats.source import RawRow, Source

__all__ = ["KNOWN_ENDINGS", "RawRow", "Source", "open_source"]
