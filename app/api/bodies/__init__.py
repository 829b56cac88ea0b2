"""How the body of a request is read: in memory, within limits that hold for each of its forms alike."""
