import pytest

from maia_core.testing.suites import BackboneSuite, DistributionSuite

PROGRAM = 'activations, images = system.neuron(tools.text2image(["a red disc"]))\nprint(activations)\n.\n'
ANSWER = "answer\nRed discs.\n\nred\n\n"


class TestHumanByProgram(BackboneSuite):
    @pytest.fixture
    def backbone(self, make_human):
        return make_human(PROGRAM * 3)[0]

    @pytest.fixture
    def twin(self, make_human):
        return make_human(PROGRAM * 3)[0]


class TestHumanByAnswer(BackboneSuite):
    @pytest.fixture
    def backbone(self, make_human):
        return make_human(ANSWER * 3)[0]


class TestDistribution(DistributionSuite):
    distribution = "maia-human"
