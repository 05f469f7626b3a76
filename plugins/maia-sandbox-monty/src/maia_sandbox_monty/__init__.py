"""The `monty` sandbox: programs that nobody trusts run in an interpreter that has no way out.

`sandbox` runs programs one after another, `dialogue` answers one program, `crossing` holds what both sides know of each
other, `traceback` words its errors, `prelude` is what Monty runs before and after a program; `shims` are modules of the
standard library that Monty lacks.
"""
