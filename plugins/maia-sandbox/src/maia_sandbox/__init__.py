"""The default sandbox: programs that nobody trusts run in a locked-down child process.

Host side: `process` (the worker's life and time), `bridge` (answers frames, trusts none). Child side: `worker`,
`lockdown`. Both sides: `frames`, `values`; like the child side they import the standard library alone.
"""
