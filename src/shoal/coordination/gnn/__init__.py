"""Graph neural networks over a `NodeGraph`: a second scorer beside the trees of `nodes`. Extra `gnn`.

Start at `GnnClassifier`. Only fitting needs PyTorch; a fitted model scores with NumPy alone.
"""

from shoal.coordination.gnn.classifier import GnnClassifier as GnnClassifier
from shoal.coordination.gnn.store import read_files as read_files
from shoal.coordination.gnn.store import write_files as write_files
