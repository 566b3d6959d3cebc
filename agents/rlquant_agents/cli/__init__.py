"""The command line: arguments, summaries and files of the commands."""
