"""Routes on knowledge that is handed down: proposals, entries, which entries fit a ticket, and the page of it."""
