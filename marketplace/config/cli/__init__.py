"""Halfpenny's own commands; each module has `main(arguments) -> exit code`.

Django's commands live in the apps.
"""
