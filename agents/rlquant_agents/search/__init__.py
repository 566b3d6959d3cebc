"""The contract of searches: session, searcher, registry, result and callbacks."""
