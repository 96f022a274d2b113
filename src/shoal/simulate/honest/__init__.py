"""The honest world, a day at a time: presence, sessions, actions, links, and habits that look bad."""

from shoal.simulate.honest.day import HonestWorld, draw_old_links
from shoal.simulate.honest.presence import Presence

__all__ = ["HonestWorld", "Presence", "draw_old_links"]
