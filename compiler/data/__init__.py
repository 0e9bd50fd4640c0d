"""Training data, looked at: which files, what their rows look like, what is wrong with them."""
