"""Modules of Python's standard library that Monty lacks, written in the Python that it has.

Their text runs inside the sandbox, fresh for each program. Every public function becomes part of the module.
"""
