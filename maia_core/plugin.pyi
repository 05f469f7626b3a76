# The list of public names: `plugin.py` reads it at run time, type checkers and the reference read it too.

# Protocols: what each kind of plugin promises.
from .protocols import Backbone as Backbone
from .protocols import Dataset as Dataset
from .protocols import Describer as Describer
from .protocols import Detector as Detector
from .protocols import ExemplarSource as ExemplarSource
from .protocols import Explainer as Explainer
from .protocols import HasExemplars as HasExemplars
from .protocols import Host as Host
from .protocols import ImageEditor as ImageEditor
from .protocols import ImageGenerator as ImageGenerator
from .protocols import ImageTextSimilarity as ImageTextSimilarity
from .protocols import Judge as Judge
from .protocols import LabelledDataset as LabelledDataset
from .protocols import ListsModels as ListsModels
from .protocols import Model as Model
from .protocols import RunContext as RunContext
from .protocols import Runner as Runner
from .protocols import RunSession as RunSession
from .protocols import Sandbox as Sandbox
from .protocols import System as System
from .protocols import system_methods as system_methods
from .protocols import Task as Task
from .protocols import Tool as Tool
from .protocols import Verifier as Verifier

# Data that crosses the protocols.
from .types import BackboneInfo as BackboneInfo
from .types import CallLimits as CallLimits
from .types import Check as Check
from .image import content_id as content_id
from .image import Data as Data
from .types import Detection as Detection
from .types import Evidence as Evidence
from .types import Execution as Execution
from .types import ExecutionLimits as ExecutionLimits
from .types import Exemplar as Exemplar
from .types import Explanation as Explanation
from .types import GeneratedImages as GeneratedImages
from .image import Image as Image
from .types import ImagePart as ImagePart
from .types import LayerInfo as LayerInfo
from .types import Logged as Logged
from .image import Mask as Mask
from .image import MASK_DARKENING as MASK_DARKENING
from .types import Message as Message
from .types import ModelOption as ModelOption
from .types import Part as Part
from .image import Pixels as Pixels
from .types import Prediction as Prediction
from .types import Probe as Probe
from .types import QUANTILES as QUANTILES
from .types import Reply as Reply
from .types import SystemRef as SystemRef
from .types import TextPart as TextPart
from .types import Turn as Turn
from .types import UnitInfo as UnitInfo
from .types import UnitStatistics as UnitStatistics
from .types import Usage as Usage
from .types import Verdict as Verdict

# Errors: each is one line that names the fix.
from .errors import BackboneBusy as BackboneBusy
from .errors import BackboneError as BackboneError
from .errors import ContextTooLong as ContextTooLong
from .errors import did_you_mean as did_you_mean
from .errors import MaiaError as MaiaError
from .errors import MendableError as MendableError
from .errors import one_line as one_line
from .errors import PluginError as PluginError
from .errors import RecordError as RecordError
from .errors import ReplyError as ReplyError
from .errors import results_of as results_of
from .errors import RunError as RunError
from .errors import RunInUse as RunInUse
from .errors import SandboxError as SandboxError
from .errors import ToolError as ToolError
from .errors import UnreadableImage as UnreadableImage
from .errors import UsageError as UsageError
from .errors import with_results as with_results

# Configuration: options of a plugin and of a run.
from .config import cache_dir as cache_dir
from .config import ContextPolicy as ContextPolicy
from .config import Limits as Limits
from .config import PluginConfig as PluginConfig
from .config import PluginRef as PluginRef
from .config import RunConfig as RunConfig
from .config import validated as validated

# Observers: hooks that every installed one implements.
from .hookspecs import hookimpl as hookimpl

# Record: events of a run, and their reader.
from .events import Asked as Asked
from .events import Effects as Effects
from .events import Event as Event
from .events import Executed as Executed
from .codec import from_json as from_json
from .events import FORMAT as FORMAT
from .events import HostCall as HostCall
from .codec import images_of as images_of
from .image_store import ImageStore as ImageStore
from .record import check_new as check_new
from .record import JOURNAL as JOURNAL
from .record import MANIFEST as MANIFEST
from .events import Manifest as Manifest
from .events import MessageAdded as MessageAdded
from .events import Noted as Noted
from .events import ProgramStarted as ProgramStarted
from .events import Replied as Replied
from .events import RunOutcome as RunOutcome
from .record import RunReader as RunReader
from .record import RunWriter as RunWriter
from .events import Verified as Verified

# Runs: what maia-runs, commands and explainers drive a run with.
from .agent import run as run
from .feedback import LAST_CALL as LAST_CALL
from .feedback import asks_for_answer as asks_for_answer
from .verification import OBJECTION as OBJECTION
from .journal import Journal as Journal
from .session import make_session as make_session
from .session import Session as Session
from .kinds import distribution_of as distribution_of
from .kinds import ENGINES as ENGINES
from .kinds import KINDS as KINDS
from .kinds import NONE as NONE
from .context import Context as Context
from .context import load as load
from .observers import Observers as Observers
from .prompt import render_api as render_api
from .registry import installed as installed
from .registry import plugin_config as plugin_config
from .registry import Plugin as Plugin
from .registry import Registry as Registry
from .replies import parse_reply as parse_reply
from .replies import program_end as program_end

# Helpers.
from .files import open_plain as open_plain
from .files import plain_folder as plain_folder
from .files import write_atomically as write_atomically
from .files import write_new as write_new
from .text import SECRET as SECRET
from .text import as_file as as_file
from .text import dumped as dumped
from .text import decoded as decoded
from .text import printable as printable
from .text import printable_line as printable_line
from .text import syntax_tree as syntax_tree
from .text import recordable as recordable
from .text import redacted as redacted
