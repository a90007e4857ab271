"""Routes on knowledge that is handed down: proposals, entries, and which entries fit a ticket."""
