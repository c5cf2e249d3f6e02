"""Basic blocks as generated Python: what runs where there is no llvmlite, and a second opinion where there is."""
