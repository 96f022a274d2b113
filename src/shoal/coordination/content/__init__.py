"""Content: accounts that hold the same files, file them alike, or whose links the same accounts open."""

from shoal.coordination.content.relations import FOLDER_TREE as FOLDER_TREE
from shoal.coordination.content.relations import VISITORS as VISITORS
from shoal.coordination.content.relations import folder_edges as folder_edges
from shoal.coordination.content.relations import visitor_edges as visitor_edges
from shoal.coordination.content.sets import Sets as Sets
from shoal.coordination.content.sets import file_sets as file_sets
from shoal.coordination.content.sets import folder_sets as folder_sets
from shoal.coordination.content.sets import link_owners as link_owners
from shoal.coordination.content.sets import make_sets as make_sets
from shoal.coordination.content.sets import sets_of_relation as sets_of_relation
from shoal.coordination.content.sets import visitor_sets as visitor_sets
from shoal.coordination.content.similar import ContentSettings as ContentSettings
from shoal.coordination.content.similar import Similar as Similar
from shoal.coordination.content.similar import minhash as minhash
from shoal.coordination.content.similar import similar as similar
