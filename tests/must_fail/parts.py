"""Broken plugins, each with a mistake that plugins really make; `catches` names the tests that must fail for it.

`test_suites_on_fakes.py` runs the files of this folder, checks that they do, and that every test of a suite is named.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from typing import Any

import numpy as np
import pytest

from maia_core import testing
from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.testing import (
    COLOURS,
    FakeDataset,
    FakeDescriber,
    FakeDetector,
    FakeEditor,
    FakeGenerator,
    FakeModel,
    FakeRunner,
    FakeSystem,
    FakeTask,
    disc,
)
from maia_core.types import BackboneInfo, Detection, Explanation, GeneratedImages, Reply, TextPart, UnitInfo, Usage
from maia_sweep.processes import Processes

# --- runners ---------------------------------------------------------------------------------------------------------


class Runner(testing.RunnerSuite):
    processes = False
    broken: Any = FakeRunner

    @pytest.fixture
    def runner(self):
        return self.broken()


class TestRunner(Runner):
    """A right one: nothing must be caught."""

    catches = ()


class TestRunnerThatMixesUpTheResults(Runner):
    class broken(FakeRunner):
        def map(self, function, items):
            items = list(items)
            return zip(reversed(items), (result for _, result in super().map(function, items)), strict=True)

    catches = ("test_each_item_comes_with_its_own_result",)


class TestRunnerThatTriesTwice(Runner):
    class broken(FakeRunner):
        def map(self, function, items):
            items = list(items)
            list(super().map(function, items))
            return super().map(function, items)

    catches = ("test_every_item_is_worked_on_once",)


class TestRunnerThatSendsTheFunctionWithEachItem(Runner):
    class broken(FakeRunner):
        def map(self, function, items):
            return super().map(lambda item: pickle.loads(pickle.dumps(function))(item), items)

    catches = ("test_a_worker_keeps_the_function",)


class TestRunnerThatEndsAtAnError(Runner):
    class broken:
        def map(self, function, items):
            return ((item, function(item)) for item in items)

    catches = ("test_an_item_that_fails_does_not_end_the_others",)


class TestRunnerThatGivesUpAtOnce(Runner):
    processes = True

    class broken(Processes):
        tries = 1

        def __init__(self):
            super().__init__(Processes.Config(workers=2), Context())

    catches = ("test_an_item_that_kills_its_worker_is_retried_once",)


class TestRunnerThatReadsAllItemsFirst(Runner):
    class broken(FakeRunner):
        def map(self, function, items):
            return super().map(function, list(items))

    catches = ("test_items_are_taken_as_workers_become_free",)


class TestRunnerThatNeedsItems(Runner):
    class broken(FakeRunner):
        def map(self, function, items):
            items = iter(items)
            return super().map(function, [next(items), *items])

    catches = ("test_it_can_be_used_again_and_for_nothing",)


# --- systems ---------------------------------------------------------------------------------------------------------


def shown(image: Image) -> np.ndarray:
    return (image.clean or image).pixels()


class System(testing.SystemSuite):
    broken: Any = FakeSystem

    @pytest.fixture
    def system(self):
        return self.broken()


class TestSystemThatLeaksBetweenImages(System):
    """Activations are normalised over the batch."""

    catches = ("test_image_alone_and_in_a_batch_give_the_same",)

    class broken(FakeSystem):
        def neuron(self, images):
            activations, masked = super().neuron(images)
            top = max(activations, default=1) or 1
            return [a / top for a in activations], masked


class TestSystemThatIsLargeEverywhereAndLeaks(System):
    """An offset hides by how much the activation of an image depends on its batch: a tenth of what the unit varies."""

    catches = ("test_image_alone_and_in_a_batch_give_the_same",)

    class broken(FakeSystem):
        def neuron(self, images):
            activations, masked = super().neuron(images)
            return [1000 + a + (0.05 if len(images) > 1 else 0) for a in activations], masked


class TestSystemThatSortsItsBatch(System):
    """Images are grouped by size for speed, and not put back."""

    catches = ("test_order_of_a_long_batch_is_kept",)

    class broken(FakeSystem):
        def neuron(self, images):
            return super().neuron(sorted(images, key=lambda i: i.id) if len(images) > 16 else images)


class TestSystemThatReturnsNumpy(System):
    catches = ("test_returns_one_finite_float_and_one_image_per_image",)

    class broken(FakeSystem):
        def neuron(self, images):
            activations, masked = super().neuron(images)
            return np.array(activations, np.float32), masked


class TestSystemThatMeasuresTheMask(System):
    """The darkened pixels go into the network."""

    catches = ("test_masked_image_is_measured_on_its_clean_pixels",)

    class broken(FakeSystem):
        def neuron(self, images):
            activations, masked = super().neuron([Image.from_pixels(i.pixels()) for i in images])
            return activations, [i.masked(m.mask()) for i, m in zip(images, masked, strict=True)]


class TestSystemThatResizes(System):
    """The masked images have the network's input size, and lost their clean image and title."""

    catches = ("test_masked_image_is_the_image_with_a_mask_beside_it", "test_large_image_is_measured")

    class broken(FakeSystem):
        def neuron(self, images):
            activations, _ = super().neuron(images)
            return activations, [Image.from_pil(i.pil().resize((32, 32))) for i in images]


class TestSystemThatWritesIntoItsInput(System):
    """Preprocessing in place."""

    catches = ("test_images_are_left_as_they_were",)

    class broken(FakeSystem):
        def neuron(self, images):
            for image in images:
                with contextlib.suppress(ValueError):
                    shown(image)[0, 0] = 0
            return super().neuron(images)


class TestSystemThatDraws(System):
    """Dropout is left on."""

    catches = ("test_same_images_again_give_the_same",)

    class broken(FakeSystem):
        noise = np.random.default_rng(0)

        def neuron(self, images):
            activations, masked = super().neuron(images)
            return [a + float(self.noise.uniform()) for a in activations], masked


class TestSystemThatIsDead(System):
    catches = ("test_responds_to_something",)

    class broken(FakeSystem):
        def neuron(self, images):
            return [0.0] * len(images), super().neuron(images)[1]


class TestSystemThatNeedsAnImage(System):
    """`torch.stack` of nothing."""

    catches = ("test_no_images_give_nothing",)

    class broken(FakeSystem):
        def neuron(self, images):
            np.stack([np.zeros(1) for _ in images])
            return super().neuron(images)


class TestSystemWithoutAName(System):
    catches = ("test_says_which_unit_it_is",)

    class broken(FakeSystem):
        def __init__(self):
            super().__init__()
            self.info = UnitInfo(model=" ")


class TestSystemThatCannotBeRendered(System):
    """A default value whose repr is not Python."""

    catches = ("test_backbone_can_be_told_of_it",)

    class broken(FakeSystem):
        def neuron(self, images, options=object()):  # noqa: B008
            """Measures."""
            return super().neuron(images)


# --- models ----------------------------------------------------------------------------------------------------------


class Model(testing.ModelSuite):
    unit = "red"
    broken: Any = FakeModel

    @pytest.fixture
    def model(self):
        return self.broken()

    @pytest.fixture
    def twin(self):
        return self.broken()


class TestModelWithOneNameTwice(Model):
    catches = ("test_layers_are_named_once_and_have_units",)

    class broken(FakeModel):
        def layers(self):
            return super().layers() * 2


class TestModelThatReturnsDoubles(Model):
    catches = ("test_measures_all_units_of_a_layer", "test_no_images_give_no_rows")

    class broken(FakeModel):
        def activations(self, images, layer):
            return np.stack(list(super().activations(images, layer))).astype(np.float64)


class TestModelWhoseUnitsAreShifted(Model):
    """Counting from one here, from zero there; units under the wrong name."""

    catches = ("test_unit_is_the_column_of_its_layer", "test_unit_knows_its_name")

    class broken(FakeModel):
        def unit(self, ref):
            super().unit(ref)
            return super().unit("colours:blue") if ref == "colours:red" else super().unit("colours:red")


class TestModelWithBatchStatistics(Model):
    """A batch norm that is not in evaluation mode."""

    catches = ("test_a_layer_of_one_image_and_of_a_batch_agree",)

    class broken(FakeModel):
        def activations(self, images, layer):
            found = super().activations(images, layer)
            return found - found.mean(0)


class TestModelThatIsLargeEverywhereAndLeaks(Model):
    """An offset hides by how much the activations of an image depend on its batch."""

    catches = ("test_a_layer_of_one_image_and_of_a_batch_agree",)

    class broken(FakeModel):
        def activations(self, images, layer):
            values = super().activations(images, layer)
            return values + np.float32(1000 + (0.05 if len(images) > 1 else 0))


class TestModelThatTakesAnything(Model):
    """Unknown names fall back to something."""

    catches = ("test_unknown_layer_is_refused_with_the_nearest", "test_unknown_unit_is_refused")

    class broken(FakeModel):
        def activations(self, images, layer):
            return super().activations(images, "colours")

        def unit(self, ref):
            try:
                return super().unit(ref)
            except UsageError:
                return super().unit("colours:red")


class TestModelWithSharedScratch(Model):
    """Hooks write to one place that all threads share."""

    catches = ("test_threads_do_not_disturb_each_other",)

    class broken(FakeModel):
        def activations(self, images, layer):
            import time

            self.scratch = images
            time.sleep(0.02)
            return super().activations(self.scratch, layer)


class TestModelThatKeepsGradients(Model):
    catches = ("test_no_gradients_are_kept",)

    class broken(FakeModel):
        def activations(self, images, layer):
            torch = pytest.importorskip("torch")
            torch.nn.Linear(1, 1)(torch.zeros(1, 1))
            return super().activations(images, layer)

    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("torch")


class TestModelWithANewFingerprintEachTime(Model):
    catches = ("test_fingerprint_is_stable",)

    class broken(FakeModel):
        @property
        def fingerprint(self):
            return str(id(self))


# --- generators ------------------------------------------------------------------------------------------------------


class Generator(testing.GeneratorSuite):
    broken: Any = FakeGenerator

    @pytest.fixture
    def generator(self):
        return self.broken()

    @pytest.fixture
    def twin(self):
        return self.broken()


class TestGeneratorThatReturnsImagesOnly(Generator):
    catches = ("test_makes_one_image_and_one_warning_per_prompt",)

    class broken(FakeGenerator):
        def generate(self, prompts, seeds):
            return super().generate(prompts, seeds).images


class TestGeneratorThatIsSilent(Generator):
    """It draws something else and does not say so."""

    catches = ("test_prompt_that_it_cannot_follow_is_warned_of", "test_no_prompts_give_nothing")

    class broken(FakeGenerator):
        def generate(self, prompts, seeds):
            return GeneratedImages(super().generate(prompts, seeds).images, [""] * max(1, len(prompts)))


class TestGeneratorThatIgnoresThePrompt(Generator):
    catches = ("test_prompt_decides",)

    class broken(FakeGenerator):
        def generate(self, prompts, seeds):
            return super().generate(["a red disc"] * len(prompts), seeds)


class TestGeneratorThatIgnoresTheSeed(Generator):
    catches = ("test_seed_decides",)

    class broken(FakeGenerator):
        def generate(self, prompts, seeds):
            return super().generate(prompts, [0] * len(seeds))


class TestGeneratorWithOneStateOfChance(Generator):
    """One random generator for all images: they depend on what came before."""

    catches = (
        "test_same_prompt_and_seed_give_the_same_pixels",
        "test_batch_and_order_change_nothing",
        "test_fingerprint_is_stable",
    )

    class broken(FakeGenerator):
        count = itertools.count()
        fingerprint = property(lambda self: str(next(self.count)))

        def generate(self, prompts, seeds):
            return super().generate(prompts, [next(self.count) for _ in seeds])


class TestGeneratorWithSmallSeeds(Generator):
    catches = ("test_all_seeds_of_a_run_can_be_used",)

    class broken(FakeGenerator):
        def generate(self, prompts, seeds):
            return super().generate(prompts, np.array(seeds, np.int16).tolist() if max(seeds) < 2**15 else 1 / 0)


class TestGeneratorThatDropsPrompts(Generator):
    """`zip` ends at the shorter one."""

    catches = ("test_prompts_without_seeds_are_refused",)

    class broken(FakeGenerator):
        def generate(self, prompts, seeds):
            return super().generate(prompts[: len(seeds)], seeds)


class TestGeneratorThatFormatsItsPrompt(Generator):
    catches = ("test_odd_prompt_is_drawn_or_refused",)

    class broken(FakeGenerator):
        def generate(self, prompts, seeds):
            return super().generate([("a photo of " + p).format() for p in prompts], seeds)


# --- editors ---------------------------------------------------------------------------------------------------------


class Editor(testing.EditorSuite):
    broken: Any = FakeEditor

    @pytest.fixture
    def editor(self):
        return self.broken()


class TestEditorThatReturnsPairs(Editor):
    catches = ("test_makes_one_image_and_one_warning_per_image", "test_no_images_give_nothing")

    class broken(FakeEditor):
        def edit(self, images, instructions, seeds):
            made = super().edit(images, instructions, seeds)
            return GeneratedImages([*images, *made.images], made.warnings or [""])


class TestEditorThatDoesNothing(Editor):
    catches = (
        "test_instruction_decides",
        "test_edited_image_can_be_edited",
        "test_instruction_that_it_cannot_follow_is_warned_of",
    )

    class broken(FakeEditor):
        def edit(self, images, instructions, seeds):
            return GeneratedImages([i.clean or i for i in images], [""] * len(images))


class TestEditorWithOneStateOfChance(Editor):
    catches = ("test_same_edit_again_gives_the_same_pixels", "test_fingerprint_is_stable")

    class broken(FakeEditor):
        count = itertools.count()
        fingerprint = property(lambda self: str(next(self.count)))

        def edit(self, images, instructions, seeds):
            return super().edit(images, [f"to {list(COLOURS)[next(self.count) % 6]}" for _ in instructions], seeds)


class TestEditorThatFollowsTheFirstInstruction(Editor):
    catches = ("test_batch_and_order_change_nothing",)

    class broken(FakeEditor):
        def edit(self, images, instructions, seeds):
            return super().edit(images, instructions[:1] * len(images), seeds)


class TestEditorOfDarkenedPixels(Editor):
    """The mask is baked into what is edited."""

    catches = ("test_masked_image_is_edited_on_its_clean_pixels",)

    class broken(FakeEditor):
        def edit(self, images, instructions, seeds):
            return super().edit([Image.from_pixels(i.pixels()) for i in images], instructions, seeds)


class TestEditorThatPaintsOnTheOriginal(Editor):
    catches = ("test_originals_are_left_as_they_were",)

    class broken(FakeEditor):
        def edit(self, images, instructions, seeds):
            for image in images:
                shown(image)[:3] = 7
            return super().edit(images, instructions, seeds)


class TestEditorThatDropsImages(Editor):
    catches = ("test_images_without_instructions_are_refused",)

    class broken(FakeEditor):
        def edit(self, images, instructions, seeds):
            return super().edit(images[: len(instructions)], instructions, seeds)


class TestEditorThatNeedsAColour(Editor):
    catches = ("test_odd_instruction_is_followed_or_refused",)

    class broken(FakeEditor):
        def edit(self, images, instructions, seeds):
            assert all(any(c in i for c in COLOURS) for i in instructions)
            return super().edit(images, instructions, seeds)


# --- describers ------------------------------------------------------------------------------------------------------


class Describer(testing.DescriberSuite):
    broken: Any = FakeDescriber

    @pytest.fixture
    def describer(self):
        return self.broken()


class TestDescriberWithOneAnswer(Describer):
    catches = ("test_describes_each_image", "test_mask_says_what_to_describe", "test_summarizes_as_one_text")

    class broken(FakeDescriber):
        def describe(self, images):
            return ["an image"] * len(images)

        def summarize(self, images):
            return self.describe(images)


class TestDescriberThatReadsTitles(Describer):
    catches = ("test_is_blind_to_titles_and_provenance",)

    class broken(FakeDescriber):
        def describe(self, images):
            return [i.title or text for i, text in zip(images, super().describe(images), strict=True)]


class TestDescriberThatReadsProvenance(Describer):
    catches = ("test_is_blind_to_titles_and_provenance",)

    class broken(FakeDescriber):
        def summarize(self, images):
            return str(images[0].provenance.get("prompt")) + super().summarize(images)


class TestDescriberThatCompares(Describer):
    """Words common to the batch are left out of each description."""

    catches = ("test_image_alone_and_in_a_batch_give_the_same",)

    class broken(FakeDescriber):
        def describe(self, images):
            return [f"{text} of {len(images)}" for text in super().describe(images)]


class TestDescriberThatSamples(Describer):
    catches = ("test_same_images_again_give_the_same", "test_fingerprint_is_stable")

    class broken(FakeDescriber):
        count = itertools.count()
        fingerprint = property(lambda self: str(next(self.count)))

        def describe(self, images):
            return [f"{text} {next(self.count)}" for text in super().describe(images)]


class TestDescriberThatNeedsPixels(Describer):
    """The mean of an empty region; the first of no images."""

    catches = ("test_odd_images_are_described", "test_no_images_give_nothing")

    class broken(FakeDescriber):
        def describe(self, images):
            assert images[0]
            for image in images:
                mask = image.mask()
                assert mask is None or mask.any()
            return super().describe(images)


class TestDescriberThatWhitens(Describer):
    catches = ("test_images_are_left_as_they_were",)

    class broken(FakeDescriber):
        def describe(self, images):
            for image in images:
                with contextlib.suppress(ValueError):
                    shown(image)[0] = 255
            return super().describe(images)


# --- data sets -------------------------------------------------------------------------------------------------------


class Dataset(testing.DatasetSuite):
    broken: Any = FakeDataset

    @pytest.fixture
    def dataset(self):
        return self.broken()

    @pytest.fixture
    def twin(self):
        return self.broken()


class TestDatasetThatMiscounts(Dataset):
    catches = ("test_is_named_and_sized",)

    class broken(FakeDataset):
        def __len__(self):
            return len(self.ids) - 1


class TestDatasetWithOneIdTwice(Dataset):
    """File names without their folder."""

    catches = ("test_ids_are_unique_texts",)

    class broken(FakeDataset):
        def __init__(self):
            super().__init__()
            self.ids[1] = self.ids[0]


class TestDatasetThatTitles(Dataset):
    """The file's name is the title."""

    catches = ("test_images_carry_their_id_and_no_title",)

    class broken(FakeDataset):
        def __getitem__(self, index):
            return super().__getitem__(index).retitled("red-disc.jpg")


class TestDatasetThatWrapsAround(Dataset):
    catches = ("test_index_out_of_range_is_refused",)

    class broken(FakeDataset):
        def __getitem__(self, index):
            return super().__getitem__(index % len(self))


class TestDatasetWithOneFileHandle(Dataset):
    """Reading moves a place that all readers share."""

    catches = ("test_threads_do_not_disturb_each_other",)

    class broken(FakeDataset):
        def __getitem__(self, index):
            import time

            self.place = index
            time.sleep(0.001)
            return super().__getitem__(self.place)


class TestDatasetThatShuffles(Dataset):
    catches = ("test_twin_holds_the_same", "test_reading_again_and_in_another_order_gives_the_same")
    count = itertools.count()

    class broken(FakeDataset):
        def __getitem__(self, index):
            return disc("red", next(TestDatasetThatShuffles.count))


class TestDatasetThatStopsAtABrokenFile(Dataset):
    """PIL's own error."""

    catches = ("test_unreadable_image_is_named_and_others_are_read",)
    unreadable = (2,)

    class broken(FakeDataset):
        def __getitem__(self, index):
            if index == 2:
                raise OSError("cannot identify image file")
            return super().__getitem__(index)


class TestDatasetWithOneConcept(Dataset):
    """A text where a sequence of texts is promised: its letters become the concepts."""

    catches = ("test_labels_name_what_is_shown",)

    class broken(FakeDataset):
        def concepts(self, index):
            return ("red", "disc") if isinstance(index, str) else "red"

        def __getitem__(self, index):
            return disc("red", index)


# --- detectors -------------------------------------------------------------------------------------------------------


class Detector(testing.DetectorSuite):
    broken: Any = FakeDetector

    @pytest.fixture
    def detector(self):
        return self.broken()


class TestDetectorOfEverything(Detector):
    """No threshold."""

    catches = ("test_finds_it_where_it_is", "test_what_is_absent_is_not_found")

    class broken(FakeDetector):
        def detect(self, images, text):
            return [[Detection((0, 0, i.width, i.height), 0.0, np.ones((i.height, i.width), bool))] for i in images]


class TestDetectorThatReturnsLogits(Detector):
    catches = ("test_scores_fall_from_one_to_zero",)

    class broken(FakeDetector):
        def detect(self, images, text):
            return [[d._replace(score=3.7) for d in found] for found in super().detect(images, text)]


class TestDetectorWithWidthAndHeight(Detector):
    catches = ("test_masks_fit_the_image_and_touch_the_box",)

    class broken(FakeDetector):
        def detect(self, images, text):
            found = super().detect(images, text)
            return [
                [d._replace(box=(d.box[0], d.box[1], d.box[2] - d.box[0], d.box[3] - d.box[1])) for d in f]
                for f in found
            ]


class TestDetectorInPixelsOfItsNetwork(Detector):
    """The boxes belong to the resized image."""

    catches = ("test_boxes_lie_in_the_image",)

    class broken(FakeDetector):
        def detect(self, images, text):
            found = super().detect(images, text)
            return [[d._replace(box=tuple(7 * edge for edge in d.box)) for d in f] for f in found]


class TestDetectorWithTransposedMasks(Detector):
    catches = ("test_masks_fit_the_image_and_touch_the_box",)

    class broken(FakeDetector):
        def detect(self, images, text):
            return [[d._replace(mask=d.mask.T) for d in found] for found in super().detect(images, text)]


class TestDetectorThatNormalises(Detector):
    """Scores relative to the best of the batch; the first of no images."""

    catches = ("test_image_alone_and_in_a_batch_give_the_same", "test_no_images_give_nothing")

    class broken(FakeDetector):
        def detect(self, images, text):
            assert images[0]
            return [[d._replace(score=1 / len(images)) for d in found] for found in super().detect(images, text)]


class TestDetectorInTheDark(Detector):
    catches = ("test_masked_image_is_searched_on_its_clean_pixels",)

    class broken(FakeDetector):
        def detect(self, images, text):
            return super().detect([Image.from_pixels(i.pixels()) for i in images], text)


class TestDetectorThatFormats(Detector):
    catches = ("test_odd_text_is_searched_or_refused",)

    class broken(FakeDetector):
        def detect(self, images, text):
            return super().detect(images, text.format())


class TestDetectorThatDraws(Detector):
    catches = ("test_images_are_left_as_they_were", "test_fingerprint_is_stable")

    class broken(FakeDetector):
        count = itertools.count()
        fingerprint = property(lambda self: str(next(self.count)))

        def detect(self, images, text):
            for image in images:
                with contextlib.suppress(ValueError):
                    shown(image)[0, 0] = (255, 0, 0)
            return super().detect(images, text)


# --- backbones -------------------------------------------------------------------------------------------------------

ANSWER = "[DESCRIPTION]: red discs\n[LABEL]: red"


class FakeBackbone:
    info = BackboneInfo(name="fake")

    def complete(self, messages, limits):
        return Reply(text=ANSWER)


class Backbone(testing.BackboneSuite):
    broken: Any = FakeBackbone

    @pytest.fixture
    def backbone(self):
        return self.broken()

    @pytest.fixture
    def twin(self):
        return self.broken()


class TestBackboneWithoutAName(Backbone):
    catches = ("test_says_what_it_is",)

    class broken(FakeBackbone):
        info = BackboneInfo(name="")


class TestBackboneThatReturnsText(Backbone):
    catches = ("test_replies_in_the_form_of_a_reply", "test_tight_limits_end_in_a_reply_or_a_clear_error")

    class broken(FakeBackbone):
        def complete(self, messages, limits):
            return ANSWER


class TestBackboneThatCountsTwice(Backbone):
    """Cached tokens beside the input tokens instead of among them."""

    catches = ("test_replies_in_the_form_of_a_reply",)

    class broken(FakeBackbone):
        def complete(self, messages, limits):
            return Reply(text=ANSWER, usage=Usage(input_tokens=10, cached_tokens=90))


class TestBackboneThatChats(Backbone):
    catches = ("test_reply_is_a_program_or_an_answer",)

    class broken(FakeBackbone):
        def complete(self, messages, limits):
            return Reply(text="Certainly! I would begin with the exemplars.")


class TestBackboneThatExpectsStrictTurns(Backbone):
    """One part a message; nobody is ever silent."""

    catches = ("test_conversation_goes_on_with_results", "test_conversation_may_follow_a_mistake")

    class broken(FakeBackbone):
        def complete(self, messages, limits):
            for message in messages:
                assert len(message.parts) == 1
                assert message.text
            return super().complete(messages, limits)


class TestBackboneThatTalksIntoTheConversation(Backbone):
    catches = ("test_messages_are_left_as_they_were",)

    class broken(FakeBackbone):
        def complete(self, messages, limits):
            messages.append(messages[0])
            return super().complete(messages, limits)


class TestBackboneThatForgetsLabels(Backbone):
    """Captions of images do not reach the model."""

    catches = ("test_recorded_conversation_goes_in_unchanged",)

    class broken(FakeBackbone):
        def complete(self, messages, limits):
            texts = [part.text for message in messages for part in message.parts if isinstance(part, TextPart)]
            self.read = "\n".join(text for text in texts if not text.startswith("exemplar"))
            return super().complete(messages, limits)

    @pytest.fixture
    def heard(self, backbone):
        return lambda messages: (backbone.read, sum(len(message.images) for message in messages))


class TestBackboneThatSamples(Backbone):
    catches = ("test_twin_replies_alike",)
    count = itertools.count()

    class broken(FakeBackbone):
        def complete(self, messages, limits):
            return Reply(text=ANSWER + str(next(TestBackboneThatSamples.count)))


# --- tasks -----------------------------------------------------------------------------------------------------------


class Task(testing.TaskSuite):
    broken: Any = FakeTask

    @pytest.fixture
    def task(self):
        return self.broken()


class TestTask(Task):
    """A right one: nothing must be caught."""

    catches = ()


class TestTaskThatForgetsATag(Task):
    catches = ("test_prompt_asks_for_every_tag",)

    class broken(FakeTask):
        def prompt(self, info):
            return "Answer under [DESCRIPTION]:"


class TestTaskThatFormatsTwice(Task):
    catches = ("test_any_unit_can_be_asked_about",)

    class broken(FakeTask):
        def prompt(self, info):
            return (super().prompt(info) + info.note).format(unit=info.ref)


class TestTaskThatCounts(Task):
    catches = ("test_same_unit_is_asked_about_in_the_same_words",)
    count = itertools.count()

    class broken(FakeTask):
        def prompt(self, info):
            return super().prompt(info) + f" ({next(TestTaskThatCounts.count)})"


class TestTaskWithSmallTags(Task):
    catches = ("test_tags_can_be_found_in_a_reply",)

    class broken(FakeTask):
        tags = ("description", "label")


class TestTaskThatReturnsADictionary(Task):
    catches = ("test_answer_is_its_model_and_survives_the_record",)

    class broken(FakeTask):
        def parse(self, sections):
            return super().parse(sections).model_dump()


class TestTaskThatTakesAnything(Task):
    catches = ("test_missing_section_is_named",)

    class broken(FakeTask):
        def parse(self, sections):
            texts = sections.get("DESCRIPTION", [])
            return self.answer(description="".join(texts), labels=sections.get("LABEL", []))


class TestTaskThatPops(Task):
    catches = ("test_parsing_leaves_the_sections_as_they_were",)

    class broken(FakeTask):
        def parse(self, sections):
            answer = super().parse(sections)
            sections.clear()
            return answer


class TestTaskWithoutLabels(Task):
    catches = ("test_explanation_has_what_reports_compare",)

    class broken(FakeTask):
        def explanation(self, answer):
            return Explanation(description=answer.description, labels=())


# --- tools -----------------------------------------------------------------------------------------------------------


def good(images: list[Image]) -> list[int]:
    """Counts the pixels of images.

    Args:
        images: The images.

    Example:
        >>> def run_experiment(system, tools):
        ...     return tools.mine([])
    """
    return [image.width * image.height for image in images]


def untyped(images, **options):
    """Counts the pixels.

    Example:
        >>> def run_experiment(system, tools):
        ...     print(tools.mine([]))
    """
    raise TypeError("programs should never see this")


def heavy_result(images: list[Image]) -> object:
    """Returns something that cannot cross into the sandbox.

    Args:
        images: Read with care (images).

    Example:
        >>> def run_experiment(system, tools):
        ...     tools.mine([])
    """
    return object()


def stale(pictures: list[Image]) -> int:
    """Has an example from before its parameter was renamed.

    Args:
        pictures: The images.

    Example:
        >>> def run_experiment(system, tools):
        ...     tools.mine(images=[])
    """
    return len(pictures)


def silent(images: list[Image]) -> int:
    return len(images)


class Tool(testing.ToolSuite):
    name = "mine"
    broken: Any = staticmethod(good)

    @pytest.fixture
    def tool(self):
        return self.broken


class TestTool(Tool):
    """A right one: nothing must be caught."""

    catches = ()


class TestToolWithoutTypes(Tool):
    broken = staticmethod(untyped)
    catches = ("test_is_typed_throughout", "test_docstring_explains_every_parameter")


class TestToolWithoutDocstring(Tool):
    broken = staticmethod(silent)
    catches = ("test_backbone_can_be_told_of_it", "test_examples_run")


class TestToolWhoseResultCannotCross(Tool):
    broken = staticmethod(heavy_result)
    catches = ("test_examples_run",)


class TestToolWithAStaleExample(Tool):
    broken = staticmethod(stale)
    catches = ("test_examples_run",)


class TestToolThatCannotBeCalled(Tool):
    name = "my-tool"
    catches = ("test_name_can_be_called",)
