"""From the IR to LLVM's, as text: the threaded interpreter, the run-time routines, and regions of hot code."""
