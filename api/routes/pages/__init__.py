"""The pages for people: the queue, one ticket, a ticket to try, and what they load."""
