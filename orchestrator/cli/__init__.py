"""The command line, the only importer of Click: it parses, wires, loops, sets the exit code."""
