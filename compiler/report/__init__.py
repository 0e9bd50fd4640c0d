"""What is said about a recipe: for a terminal, for programs, for code hosts."""
