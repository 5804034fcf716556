"""Where puzzles come from: files, the hub, a generator; and the cache."""
