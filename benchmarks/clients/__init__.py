"""Clients generated from /openapi.json by four generators: each compiles and verifies a pair."""
