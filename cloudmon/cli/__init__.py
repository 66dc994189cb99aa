"""Typer commands. Nothing heavy is imported before a command needs it: ``cloudmon --help`` comes at once."""
