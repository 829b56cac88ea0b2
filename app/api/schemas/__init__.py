"""The bodies of requests and answers, and an example of each."""
