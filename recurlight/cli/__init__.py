"""The command line: `recurlight fit | validate | test | predict | recipes`."""
