"""The commands of `popek`, a module for each family of them; arguments in, one library call, text and exit code out.

What is slow to import is imported inside the command that needs it.
"""
