"""Adapters: the outside world, one SDK a module; files first."""
