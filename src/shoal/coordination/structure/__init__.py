"""Structure of graphs that are given as arrays: components, communities, dense blocks.

Knows codes and weights: no account, relation or campaign. What each algorithm is for: docs/coordination-structure.md.
"""

from shoal.coordination.structure.unionfind import Components as Components
from shoal.coordination.structure.unionfind import components as components
from shoal.coordination.structure.unionfind import numbered as numbered
