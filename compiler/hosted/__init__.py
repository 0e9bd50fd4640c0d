"""Recipes for models that only their provider trains: found, refused or planned, their rows read, their job written."""
