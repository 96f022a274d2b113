"""Structure of graphs that are given as arrays: components, communities, dense blocks.

Knows codes and weights: no account, relation or campaign. What each algorithm is for: docs/coordination-structure.md.
"""

from shoal.coordination.structure.partitions import Partition as Partition
from shoal.coordination.structure.partitions import communities as communities
from shoal.coordination.structure.partitions import potts_quality as potts_quality
from shoal.coordination.structure.partitions import propagated as propagated
from shoal.coordination.structure.partitions import recluster as recluster
from shoal.coordination.structure.peeling import Block as Block
from shoal.coordination.structure.peeling import dense_blocks as dense_blocks
from shoal.coordination.structure.unionfind import Components as Components
from shoal.coordination.structure.unionfind import components as components
from shoal.coordination.structure.unionfind import numbered as numbered
