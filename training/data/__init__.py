"""A desk's export as labelled tickets: readers, columns, labels, duplicates and splits; start at `read_dataset`."""

from training.data.dataset import Dataset, LabelledTicket, read_dataset

__all__ = ["Dataset", "LabelledTicket", "read_dataset"]
