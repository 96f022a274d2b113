"""The entity graph: accounts against typed entities, one CSR a relation, with times and counts."""

from shoal.coordination.graph.build import GraphBuilder as GraphBuilder
from shoal.coordination.graph.build import graph_of_pairs as graph_of_pairs
from shoal.coordination.graph.components import HardComponents as HardComponents
from shoal.coordination.graph.components import Refusal as Refusal
from shoal.coordination.graph.components import hard_components as hard_components
from shoal.coordination.graph.defaults import ATTRIBUTES as ATTRIBUTES
from shoal.coordination.graph.defaults import default_columns as default_columns
from shoal.coordination.graph.defaults import default_relations as default_relations
from shoal.coordination.graph.graph import NETWORK_KINDS as NETWORK_KINDS
from shoal.coordination.graph.graph import Edges as Edges
from shoal.coordination.graph.graph import EntityGraph as EntityGraph
from shoal.coordination.graph.hubs import Hubs as Hubs
from shoal.coordination.graph.hubs import HubSettings as HubSettings
from shoal.coordination.graph.hubs import Known as Known
from shoal.coordination.graph.hubs import RelationHubs as RelationHubs
from shoal.coordination.graph.hubs import learn_hubs as learn_hubs
from shoal.coordination.graph.pairs import relation_pairs as relation_pairs
from shoal.coordination.graph.read import RelationReader as RelationReader
from shoal.coordination.graph.read import relation_problems as relation_problems
from shoal.coordination.graph.views import as_of as as_of
from shoal.coordination.graph.views import edges_of as edges_of
from shoal.coordination.graph.views import with_edges as with_edges
