"""A module for each peer: get a listen key, or read an event. The import of the module loads the peer."""
