"""Dates as exports write them, a whole column at a time; start at `date_column`."""

from training.data.dates.column import ORDERS, DateColumn, date_column

__all__ = ["ORDERS", "DateColumn", "date_column"]
