"""One network per file, its parameter count tested."""
