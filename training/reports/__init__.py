"""Pages and figures from finished runs; they only format."""
