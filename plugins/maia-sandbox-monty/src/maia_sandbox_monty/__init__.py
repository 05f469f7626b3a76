"""The `monty` sandbox: programs that nobody trusts run in an interpreter that has no way out.

`sandbox` runs programs one after another, `dialogue` answers one program, `crossing` holds the proxies that both sides
know, `traceback` words its errors, `launcher` and `confine` start Monty behind the kernel's measures. `prelude` holds
the code that Monty runs before and after a program; `shims` are modules of the standard library that Monty lacks.
"""
