"""Configs of other tools → recipes: found out, read, written, and tried."""
