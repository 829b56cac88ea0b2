"""HTTP: routes, what they read and answer, limits, errors."""
