"""The service: HTTP, store, keys, pages; it serves a directory and never talks to a tracker."""
