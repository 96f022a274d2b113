"""Node classification: abusive accounts from features, ties and known labels. Start at `NodeClassifier`."""

from shoal.coordination.nodes.classifier import NodeClassifier as NodeClassifier
from shoal.coordination.nodes.graph import NodeGraph as NodeGraph
from shoal.coordination.nodes.links import Direct as Direct
from shoal.coordination.nodes.links import Link as Link
from shoal.coordination.nodes.links import Shared as Shared
from shoal.coordination.nodes.store import read_files as read_files
from shoal.coordination.nodes.store import write_files as write_files
