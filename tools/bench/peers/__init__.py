"""Programs that get a listen key, one for each peer. An import of such a module loads what the peer needs."""
