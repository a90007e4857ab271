"""Helpdesk words and rules: tickets, policy, rules, gate and the decision; pure, without any library but re2."""
