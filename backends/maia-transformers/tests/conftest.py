"""Tiny models with random weights, saved to folders and loaded by the shipped code as real ones are."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import functools
import inspect
import warnings

import pytest

import maia_core.prompt
from maia_core.agent import run
from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.session import make_session
from maia_core.testing import fake_parts
from maia_vlm import describing

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}

PICTURES_FIRST = (
    "{% for m in messages %}{{ m['role'].upper() + ': ' }}"
    "{% for c in m['content'] if c['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }} {% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
IN_PLACE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}@{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<start_of_image>{% else %}{{ c['text'] | trim }}"
    "{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
TEXT_ONLY = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(tokens, **named):
    """A byte-level tokenizer whose first words are `tokens`; it begins texts with its `bos_token`, if it has one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=alphabet, special_tokens=list(tokens), show_progress=False
    )
    words.train_from_iterator(map(inspect.getsource, (maia_core.prompt, describing)), trainer)
    if start := named.get("bos_token"):
        words.post_processor = processors.TemplateProcessing(f"{start} $A", None, [(start, words.token_to_id(start))])
    return PreTrainedTokenizerFast(tokenizer_object=words, **named)


def clip():
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(**VISION, image_size=28, patch_size=14)


def llava():
    import transformers as hf

    words = tokenizer(["<s>", "</s>", "<pad>", "<image>"], bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    text = hf.LlamaConfig(**TEXT, vocab_size=len(words), bos_token_id=0, eos_token_id=1, pad_token_id=2)
    config = hf.LlavaConfig(vision_config=clip(), text_config=text, image_token_id=3, vision_feature_layer=-1)
    images = hf.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = hf.LlavaProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=PICTURES_FIRST,
    )
    return hf.LlavaForConditionalGeneration, config, processor


def llava_next():
    import transformers as hf

    words = tokenizer(
        ["<s>", "</s>", "<pad>", "<image>", "<|im_start|>", "<|im_end|>"],
        bos_token="<s>",
        eos_token="<|im_end|>",
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>"],
    )
    text = hf.LlamaConfig(**TEXT, vocab_size=len(words), bos_token_id=0, eos_token_id=5, pad_token_id=2)
    grid = [[28, 56], [56, 28], [56, 56]]
    config = hf.LlavaNextConfig(
        vision_config=clip(), text_config=text, image_token_id=3, vision_feature_layer=-1, image_grid_pinpoints=grid
    )
    images = hf.LlavaNextImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=grid
    )
    processor = hf.LlavaNextProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=IN_PLACE.replace("@", "<image>\n"),
    )
    return hf.LlavaNextForConditionalGeneration, config, processor


QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN_VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN_IDS = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 3, "vision_end_token_id": 4}


def qwen(version):
    import transformers as hf

    words = tokenizer(
        [*QWEN, *QWEN_VISION], eos_token=QWEN[2], pad_token=QWEN[0], additional_special_tokens=[QWEN[1], *QWEN_VISION]
    )
    text = {**TEXT, "vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 2}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    sides = {"shortest_edge": 28 * 28, "longest_edge": 64 * 28 * 28}
    images = hf.Qwen2VLImageProcessor(size=sides)
    template = IN_PLACE.replace("@", "<|vision_start|><|image_pad|><|vision_end|>")
    video = hf.AutoVideoProcessor
    if version == "2":
        vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14}
        kind, config, processor = hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLConfig, hf.Qwen2VLProcessor
        video = hf.Qwen2VLVideoProcessor
    elif version == "2.5":
        vision = {"depth": 2, "hidden_size": 32, "num_heads": 4, "intermediate_size": 64, "out_hidden_size": 32}
        vision |= {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
        kind, config, processor = hf.Qwen2_5_VLForConditionalGeneration, hf.Qwen2_5_VLConfig, hf.Qwen2_5_VLProcessor
        video = hf.Qwen2VLVideoProcessor
    else:
        vision = {"depth": 2, "hidden_size": 32, "num_heads": 4, "intermediate_size": 64, "out_hidden_size": 32}
        vision |= {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        text["head_dim"] = 8
        rope["mrope_interleaved"] = True
        images = hf.Qwen2VLImageProcessor(size=sides, patch_size=16)
        kind, config, processor = hf.Qwen3VLForConditionalGeneration, hf.Qwen3VLConfig, hf.Qwen3VLProcessor
        video = hf.Qwen3VLVideoProcessor
    made = config(text_config={**text, "rope_parameters": rope}, vision_config=vision, **QWEN_IDS)
    return kind, made, processor(images, words, video(), chat_template=template)


def gemma():
    import transformers as hf

    extra = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    words = tokenizer(
        ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", *extra.values()],
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
        extra_special_tokens=extra,
    )
    text = hf.Gemma3TextConfig(
        **TEXT, vocab_size=len(words), head_dim=8, sliding_window=64, pad_token_id=0, eos_token_id=1, bos_token_id=2
    )
    vision = hf.SiglipVisionConfig(**VISION, image_size=56, patch_size=14)
    ids = {"boi_token_index": 5, "eoi_token_index": 6, "image_token_id": 7, "eos_token_id": [1, 4]}
    config = hf.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, tie_word_embeddings=False, **ids
    )
    images = hf.Gemma3ImageProcessor(size={"height": 56, "width": 56})
    processor = hf.Gemma3Processor(images, words, image_seq_length=4, chat_template=NO_SYSTEM)
    return hf.Gemma3ForConditionalGeneration, config, processor


def idefics():
    import transformers as hf

    extra = ["<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>"]
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    words = tokenizer(
        ["<|begin_of_text|>", "<pad>", *extra, *rows],
        bos_token="<|begin_of_text|>",
        eos_token="<end_of_utterance>",
        pad_token="<pad>",
        additional_special_tokens=[*extra[:3], *rows],
    )
    text = hf.LlamaConfig(**TEXT, vocab_size=len(words), bos_token_id=0, eos_token_id=5, pad_token_id=1)
    vision = {**VISION, "image_size": 28, "patch_size": 7}
    config = hf.Idefics3Config(text_config=text, vision_config=vision, image_token_id=3, scale_factor=2)
    images = hf.Idefics3ImageProcessor(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    template = (
        "<|begin_of_text|>{% for m in messages %}{{ m['role'] | capitalize }}:{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n"
        "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    processor = hf.Idefics3Processor(images, words, image_seq_len=4, chat_template=template)
    return hf.Idefics3ForConditionalGeneration, config, processor


def internvl():
    import transformers as hf

    extra = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = tokenizer(
        [*QWEN, *extra.values()],
        eos_token=QWEN[2],
        pad_token=QWEN[0],
        additional_special_tokens=[QWEN[1]],
        extra_special_tokens=extra,
    )
    text = hf.Qwen2Config(**TEXT, vocab_size=len(words), bos_token_id=0, eos_token_id=2)
    vision = {**VISION, "image_size": [28, 28], "patch_size": [7, 7]}
    config = hf.InternVLConfig(vision_config=vision, text_config=text, image_token_id=5, image_seq_length=4)
    images = hf.GotOcr2ImageProcessor(size={"height": 28, "width": 28}, crop_to_patches=False)
    template = IN_PLACE.replace("@", "<IMG_CONTEXT>\n")
    video = hf.InternVLVideoProcessor()
    processor = hf.InternVLProcessor(images, words, video, image_seq_length=4, chat_template=template)
    return hf.InternVLForConditionalGeneration, config, processor


def llama():
    import transformers as hf

    words = tokenizer(QWEN, bos_token=QWEN[0], eos_token=QWEN[2], additional_special_tokens=[QWEN[1]])
    words.chat_template = TEXT_ONLY
    config = hf.LlamaConfig(**TEXT, vocab_size=len(words), bos_token_id=0, eos_token_id=2)
    return hf.LlamaForCausalLM, config, words


RECIPES = {
    "llava": llava,
    "llava-next": llava_next,
    "qwen2-vl": functools.partial(qwen, "2"),
    "qwen2.5-vl": functools.partial(qwen, "2.5"),
    "qwen3-vl": functools.partial(qwen, "3"),
    "gemma3": gemma,
    "idefics3": idefics,
    "internvl": internvl,
    "llama": llama,
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Returns the folder of a tiny model by its name, made when it is first asked for."""
    import torch

    from maia_transformers.weights import quiet

    @functools.cache
    def make(name, seed=0):
        folder = tmp_path_factory.mktemp(name)
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(seed)
            kind, config, processor = RECIPES[name]()
            model = kind(config)
            for parameter in model.parameters():
                if parameter.ndim > 1:  # As large as trained ones: what it writes then depends on what it is shown.
                    torch.nn.init.normal_(parameter, std=0.3)
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def context(tmp_path):
    return Context(parts=fake_parts(), cache=tmp_path / "cache")


@pytest.fixture
def warned(context):
    """The lines that the context's run was warned with."""
    lines = []
    context.warn_to(lines.append)
    return lines


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """What the offline backbone was sent, turn by turn, in a run of the real loop, tools and sandbox on fake parts."""
    context = Context(RunConfig(), parts=fake_parts(), cache=tmp_path_factory.mktemp("cache"))
    session, backbone = make_session(context), context.part("backbone")
    sent, complete = [], backbone.complete
    backbone.complete = lambda messages, limits: sent.append(messages) or complete(messages, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # Statistics of very few images.
            assert run(session, backbone).status == "answered"
    finally:
        session.close()
    assert max(sum(len(message.images) for message in messages) for messages in sent) > 40
    return sent


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny models gain nothing from several threads, and on a busy machine these wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fresh(monkeypatch):
    """For a test that changes or counts weights: it finds none loaded and leaves none behind."""
    from maia_hub.device import free_memory
    from maia_hub.shared import SharedModels
    from maia_transformers import chat, weights

    models = SharedModels(lambda weights: free_memory(weights.device))
    for module in (chat, weights):
        monkeypatch.setattr(module, "models", models)
