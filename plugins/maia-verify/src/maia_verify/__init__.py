"""Tests an answer on inputs that nobody has seen, made from its claim alone."""
