"""The `vrex` command: one file a subcommand, each a thin line over the package that does it."""
