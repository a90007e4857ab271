"""Cells of CSV files, which spreadsheets read as formulas where they begin like one."""

from __future__ import annotations

_FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with in a spreadsheet, in full width too."""


def inert(cell: object) -> object:
    """Return a cell that a spreadsheet reads as text: one that begins like a formula gets an apostrophe before it.

    Example:
        >>> [inert(cell) for cell in ("=1+1", "-cmd", "T-4711", -0.5)]
        ["'=1+1", "'-cmd", 'T-4711', -0.5]
    """
    begins = isinstance(cell, str) and cell.lstrip(" \n").startswith(_FORMULA_MARKS)
    return f"'{cell}" if begins else cell
