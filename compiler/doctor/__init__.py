"""What this machine has, and what a target lacks on it. Looks, and changes nothing."""
