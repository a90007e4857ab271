"""What higher tiers resolved again and again, as proposals to hand it down, and what came of those accepted."""
