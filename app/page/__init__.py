"""The page at `/`, where a person compares photographs in a browser: static files, and the routes that serve them."""
