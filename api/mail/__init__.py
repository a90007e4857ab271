"""Mail as a channel: mailboxes read by IMAP, decided, and answered with headers, a forward to the group, or both."""
