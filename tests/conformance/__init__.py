"""Conformance: our machine definitions against independent oracles."""
