"""Who is let in: API keys, and the sites whose pages may call the service."""
