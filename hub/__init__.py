"""AppSet Hub: one ``baseUrl`` for all ApplicationSet plugins of an Argo CD."""

from importlib.metadata import version

__version__ = version("appset-hub")
