"""Save and restore the state of a Python program as an object graph.

The names below are the whole public interface; `docs/quickstart.md` shows how they are used.
"""

from checkpointable.adapters.standard import register_standard_adapters
from checkpointable.checkpoint import Checkpoint
from checkpointable.comparing import CheckpointView, ViewDifference, diff
from checkpointable.comparison.difference import ChangedValue, Difference, MovedValue, ValueSummary
from checkpointable.converting import convert
from checkpointable.directory.checkpoint_state import (
    get_checkpoint_state,
    update_checkpoint_state,
)
from checkpointable.directory.latest import (
    checkpoint_exists,
    get_checkpoint_mtimes,
    latest_checkpoint,
)
from checkpointable.directory.removal import remove_checkpoint
from checkpointable.directory.state_file import CheckpointState
from checkpointable.directory.watching import checkpoints_iterator, wait_for_new_checkpoint
from checkpointable.errors import (
    CheckpointError,
    CheckpointExistsError,
    CheckpointNotFoundError,
    CheckpointWarning,
    CorruptCheckpointError,
    DirectoryInUseError,
    IncompatibleCheckpointError,
    MissingDependencyError,
    NotCheckpointableError,
    StorageError,
    TensorNotFoundError,
    UndeclaredStateWarning,
    UnmatchedError,
    UnsupportedFormatError,
)
from checkpointable.format.source import Finding
from checkpointable.graph.view import TrackableView
from checkpointable.manager.manager import CheckpointManager
from checkpointable.name_based.builder import BulkSaverBuilder, SaverBuilder
from checkpointable.name_based.exporting import export_meta_graph
from checkpointable.name_based.importing import import_meta_graph
from checkpointable.name_based.initialization import init_from_checkpoint
from checkpointable.name_based.meta_graph import MetaGraphDef
from checkpointable.name_based.saveable import SaveableObject, SaveSpec
from checkpointable.name_based.saver import Saver
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.options import RestoreOptions, SaveOptions
from checkpointable.reading import (
    CheckpointReader,
    StoredTensor,
    list_variables,
    load,
    load_checkpoint,
    load_variable,
    verify,
)
from checkpointable.restore.entries import Entry
from checkpointable.restore.name_based_status import NameBasedSaverStatus
from checkpointable.restore.report import Report
from checkpointable.restore.status import (
    CheckpointLoadStatus,
    InitializationOnlyStatus,
    LoadStatus,
)
from checkpointable.retention.plan import Decision, RetentionPlan
from checkpointable.saver import CheckpointableSaver
from checkpointable.session.graph import Graph, Operation, get_default_graph
from checkpointable.session.session import Session, get_default_session
from checkpointable.trackable.base import NoDependency, Trackable, Variable
from checkpointable.trackable.fields import tracked
from checkpointable.trackable.partitioned import partitioned_variables
from checkpointable.trackable.registry import Adapter, register_adapter
from checkpointable.trackable.save_slice import SaveSlice
from checkpointable.trackable.slots import SlotTrackable
from checkpointable.trackable.state import PythonState

__version__ = "0.1.0"

register_standard_adapters()

__all__ = [
    "Adapter",
    "BulkSaverBuilder",
    "ChangedValue",
    "Checkpoint",
    "CheckpointError",
    "CheckpointExistsError",
    "CheckpointLoadStatus",
    "CheckpointManager",
    "CheckpointNotFoundError",
    "CheckpointReader",
    "CheckpointState",
    "CheckpointView",
    "CheckpointWarning",
    "CheckpointableSaver",
    "CorruptCheckpointError",
    "Decision",
    "Difference",
    "DirectoryInUseError",
    "Entry",
    "Finding",
    "Graph",
    "IncompatibleCheckpointError",
    "InitializationOnlyStatus",
    "LoadStatus",
    "MetaGraphDef",
    "MissingDependencyError",
    "MovedValue",
    "NameBasedSaverStatus",
    "NoDependency",
    "NotCheckpointableError",
    "Operation",
    "PythonState",
    "Report",
    "RestoreOptions",
    "RetentionPlan",
    "SaveOptions",
    "SaveSlice",
    "SaveSpec",
    "SaveableObject",
    "Saver",
    "SaverBuilder",
    "SaverDef",
    "Session",
    "SlotTrackable",
    "StorageError",
    "StoredTensor",
    "TensorNotFoundError",
    "Trackable",
    "TrackableView",
    "UndeclaredStateWarning",
    "UnmatchedError",
    "UnsupportedFormatError",
    "ValueSummary",
    "Variable",
    "ViewDifference",
    "checkpoint_exists",
    "checkpoints_iterator",
    "convert",
    "diff",
    "export_meta_graph",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "get_default_graph",
    "get_default_session",
    "import_meta_graph",
    "init_from_checkpoint",
    "latest_checkpoint",
    "list_variables",
    "load",
    "load_checkpoint",
    "load_variable",
    "partitioned_variables",
    "register_adapter",
    "remove_checkpoint",
    "tracked",
    "update_checkpoint_state",
    "verify",
    "wait_for_new_checkpoint",
]
