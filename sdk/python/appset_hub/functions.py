"""What an author's function must look like from outside: callable with one question, and returning, not yielding."""

from __future__ import annotations

import inspect


def function_problem(function: object) -> str:
    """Say why a question cannot be put to `function`; empty when it can."""
    kind = type(function).__name__
    if not callable(function):
        hint = "; pass the function itself, without calling it" if inspect.isawaitable(function) else ""
        return f"function: {kind} cannot be called{hint}"
    name = getattr(function, "__name__", kind)
    if inspect.isclass(function):
        return f"function: {name} is a class; pass an instance of it, or a function"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return f'function: {name} has a "yield"; return the complete list instead'
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        return f"function: {name} must take one argument, the question ({error})"
    except ValueError:  # Written in C, without a signature to look at.
        return ""
    return ""
