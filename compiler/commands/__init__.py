"""The commands of `ftc`, one module each, imported only when called."""
