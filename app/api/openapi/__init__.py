"""What FastAPI cannot learn from the routes for /openapi.json: bodies that are read in chunks, errors, headers."""
