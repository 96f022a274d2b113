"""Shapes of names and addresses: what an event may say of them without saying them (`pattern`)."""

from shoal.events.shapes.pattern import MOST_PIECES, email_shape, name_shape

__all__ = ["MOST_PIECES", "email_shape", "name_shape"]
