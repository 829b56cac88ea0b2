"""A process that serves: loading, listening, draining."""
