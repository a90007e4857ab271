"""People in the store: their accounts, the identities that other systems know them by, and their open sessions."""
