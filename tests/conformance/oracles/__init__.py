"""Independent executors of the machines we define, one driver a file, behind the protocol of `oracle.py`."""
