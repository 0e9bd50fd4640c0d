"""A tracker that is never started here; its own package brings a web server along."""
