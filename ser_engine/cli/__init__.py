"""The command line `ser`: one module per verb."""
