# The list of public names. `maia_core/testing/__init__.py` reads it at run time, type checkers read it before.

# A conversation and runs to compare.
from .conversation import recorded_requests as recorded_requests

# Parts for every role, and the images that they draw.
from .fakes import COLOURS as COLOURS
from .fakes import FAKE_RUN as FAKE_RUN
from .fakes import FakeDataset as FakeDataset
from .fakes import FakeDescriber as FakeDescriber
from .fakes import FakeDetector as FakeDetector
from .fakes import FakeEditor as FakeEditor
from .fakes import FakeGenerator as FakeGenerator
from .fakes import FakeModel as FakeModel
from .fakes import FakeSandbox as FakeSandbox
from .fakes import FakeSystem as FakeSystem
from .fakes import FakeVerifier as FakeVerifier
from .fakes import ScriptedBackbone as ScriptedBackbone
from .fakes import disc as disc
from .fakes import fake_parts as fake_parts
from .fakes import is_colour as is_colour
from .fakes import photograph as photograph

# Where programs run, and what they reach there.
from .host import FakeHost as FakeHost
from .host import SuiteHost as SuiteHost
from .inprocess import InProcessSandbox as InProcessSandbox
from .records import timeless as timeless
from .roles import FakeCommand as FakeCommand
from .roles import FakeExplainer as FakeExplainer
from .roles import FakeJudge as FakeJudge
from .roles import FakeObserver as FakeObserver
from .roles import FakeRunner as FakeRunner
from .roles import FakeSimilarity as FakeSimilarity
from .roles import FakeTask as FakeTask
from .roles import FakeTool as FakeTool

# The suites, and what they try plugins on.
from .suites.backbone import BackboneSuite as BackboneSuite
from .suites.command import CommandSuite as CommandSuite
from .suites.dataset import DatasetSuite as DatasetSuite
from .suites.describer import DescriberSuite as DescriberSuite
from .suites.detector import DetectorSuite as DetectorSuite
from .suites.distribution import DistributionSuite as DistributionSuite
from .suites.editor import EditorSuite as EditorSuite
from .suites.explainer import ExplainerSuite as ExplainerSuite
from .suites.generator import GeneratorSuite as GeneratorSuite
from .suites.judge import JudgeSuite as JudgeSuite
from .suites.model import ModelSuite as ModelSuite
from .suites.observer import ObserverSuite as ObserverSuite
from .suites.runner import RunnerSuite as RunnerSuite
from .suites.samples import farthest as farthest
from .suites.samples import halves as halves
from .suites.samples import samples as samples
from .suites.sandbox import SandboxSuite as SandboxSuite
from .suites.similarity import SimilaritySuite as SimilaritySuite
from .suites.system import SystemSuite as SystemSuite
from .suites.task import TaskSuite as TaskSuite
from .suites.tool import ToolSuite as ToolSuite
from .suites.verifier import VerifierSuite as VerifierSuite
