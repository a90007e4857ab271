"""The pages for people: queue, ticket, ticket to try, overview, learning, people, sign-in, and what they load."""
