"""The entity graph: accounts against typed entities, one CSR a relation, with times and counts."""

from shoal.coordination.graph.graph import Edges as Edges
from shoal.coordination.graph.graph import EntityGraph as EntityGraph
