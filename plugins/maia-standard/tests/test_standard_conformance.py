"""The standard tools and the neuron description task keep the promises of their kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.testing import DistributionSuite, TaskSuite, ToolSuite
from maia_standard.compare import ComparePrompts
from maia_standard.describe import DescribeImages, SummarizeImages
from maia_standard.exemplars import DatasetExemplars
from maia_standard.images import EditImages, Text2Image
from maia_standard.log import Display, LogExperiment, Results
from maia_standard.regions import HideRegion, KeepRegion
from maia_standard.tasks import NeuronDescription
from maia_standard.vocabulary import Vocabulary


class Standard(ToolSuite):
    made: type[Any]

    @pytest.fixture
    def tool(self, context: Context) -> Callable[..., Any]:
        return self.made(getattr(self.made, "Config", PluginConfig)(), context)


class TestDatasetExemplars(Standard):
    name, made = "dataset_exemplars", DatasetExemplars


class TestText2Image(Standard):
    name, made = "text2image", Text2Image


class TestEditImages(Standard):
    name, made = "edit_images", EditImages


class TestComparePrompts(Standard):
    name, made = "compare_prompts", ComparePrompts


class TestDescribeImages(Standard):
    name, made = "describe_images", DescribeImages


class TestSummarizeImages(Standard):
    name, made = "summarize_images", SummarizeImages


class TestLogExperiment(Standard):
    name, made = "log_experiment", LogExperiment


class TestHideRegion(Standard):
    name, made = "hide_region", HideRegion


class TestKeepRegion(Standard):
    name, made = "keep_region", KeepRegion


class TestVocabulary(Standard):
    name, made = "vocabulary", Vocabulary


class TestResults(Standard):
    name, made = "results", Results


class TestDisplay(Standard):
    name, made = "display", Display


class TestNeuronDescription(TaskSuite):
    @pytest.fixture
    def task(self) -> NeuronDescription:
        return NeuronDescription(PluginConfig(), Context())


class TestDistribution(DistributionSuite):
    distribution = "maia-standard"
