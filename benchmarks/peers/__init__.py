"""Other ways to answer `POST /verify`, each a small server in its own way of serving, beside facepair's service."""
