"""From the two documents to generated/: the client by openapi-python-client, the events by a template of ours."""
