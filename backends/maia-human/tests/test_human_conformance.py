import html
import re

import pytest

from maia_core.testing import BackboneSuite, DistributionSuite

PROGRAM = 'activations, images = system.neuron(tools.text2image(["a red disc"]))\nprint(activations)\n.\n'
ANSWER = "answer\nRed discs.\n\nred\n\n"


class Human(BackboneSuite):
    typed: str

    @pytest.fixture
    def backbone(self, make_human, tmp_path):
        return make_human(self.typed * 3, folder=tmp_path)[0]

    @pytest.fixture
    def twin(self, make_human):
        return make_human(self.typed * 3)[0]

    @pytest.fixture
    def heard(self, tmp_path):
        """The page, without what has left the messages: a person keeps what was seen."""

        def page(messages):
            written = (tmp_path / "conversation.html").read_text(encoding="utf-8")
            system, task, *later = re.findall(r"<(?:details|section).*?</(?:details|section)>", written, re.DOTALL)
            shown = "".join([system, task, *later[len(later) - len(messages) + 2 :]])
            return html.unescape(re.sub("<[^>]+>", " ", shown)), shown.count("<img ")

        return page


class TestHumanByProgram(Human):
    typed = PROGRAM


class TestHumanByAnswer(Human):
    typed = ANSWER


class TestDistribution(DistributionSuite):
    distribution = "maia-human"
