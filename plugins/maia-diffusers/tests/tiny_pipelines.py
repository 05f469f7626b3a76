"""Tiny pipelines with random weights, built from their configurations: they load like real ones, and draw noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SIDE = 32
"""Pixels of the images that the tiny pipelines make by themselves."""


def clip_tokenizer() -> Any:
    """A CLIP tokenizer that knows letters only, so that a word is as many tokens as it has letters."""
    from transformers import CLIPTokenizer

    shown = [chr(n) for n in (*range(33, 127), *range(161, 173), *range(174, 256))]
    shown += [chr(n) for n in range(256, 512 - len(shown))]
    names = ["<|startoftext|>", "<|endoftext|>", *shown, *(f"{letter}</w>" for letter in shown)]
    vocabulary = {name: number for number, name in enumerate(names)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def clip_text(projection: bool = False) -> Any:
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(1 + projection)
    config = CLIPTextConfig(
        vocab_size=600, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=32, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5() -> tuple[Any, Any]:
    """A T5 encoder, and its tokenizer, which knows letters only."""
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -5.0), *((chr(n), -1.0) for n in range(32, 127))]
    core = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = T5TokenizerFast(tokenizer_object=core, extra_ids=0, model_max_length=512)
    torch.manual_seed(3)
    config = T5Config(vocab_size=120, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return T5EncoderModel(config).eval(), tokenizer


def vae(channels: int = 4, **more: Any) -> Any:
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(4)
    return AutoencoderKL(
        latent_channels=channels, block_out_channels=(8, 16), norm_num_groups=4, sample_size=SIDE,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **more,
    )  # fmt: skip


def unet(channels: int = 4, **more: Any) -> Any:
    import torch
    from diffusers import UNet2DConditionModel

    torch.manual_seed(5)
    return UNet2DConditionModel(**{
        "in_channels": channels, "out_channels": 4, "sample_size": SIDE // 2, "block_out_channels": (8, 16),
        "norm_num_groups": 4, "layers_per_block": 1, "cross_attention_dim": 32, "attention_head_dim": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    } | more)  # fmt: skip


def safety_checker(least: float) -> dict[str, Any]:
    """A checker that blanks images whose similarity to its one concept is above `least`."""
    import torch
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    torch.manual_seed(6)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = small | {"image_size": SIDE, "patch_size": 8}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, text_config=small, projection_dim=8)).eval()
    checker.special_care_embeds_weights.data.fill_(2)
    checker.concept_embeds_weights.data.fill_(2)
    checker.concept_embeds_weights.data[0] = least
    checker.concept_embeds.data.copy_(torch.randn_like(checker.concept_embeds))
    size = {"height": SIDE, "width": SIDE}
    return {"safety_checker": checker, "feature_extractor": CLIPImageProcessor(size=size, crop_size=size)}


def stable_diffusion(least: float | None = None) -> Any:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    checker = {"safety_checker": None, "feature_extractor": None} if least is None else safety_checker(least)
    return StableDiffusionPipeline(
        vae=vae(), text_encoder=clip_text(), tokenizer=clip_tokenizer(), unet=unet(), scheduler=DDIMScheduler(),
        requires_safety_checker=least is not None, **checker,
    )  # fmt: skip


def pix2pix() -> Any:
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline

    return StableDiffusionInstructPix2PixPipeline(
        vae=vae(), text_encoder=clip_text(), tokenizer=clip_tokenizer(), unet=unet(8),
        scheduler=EulerAncestralDiscreteScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def stable_diffusion_xl() -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    denoiser = unet(
        addition_embed_type="text_time", addition_time_embed_dim=8, transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=8 * 6 + 32, cross_attention_dim=64, use_linear_projection=True,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=vae(), text_encoder=clip_text(), text_encoder_2=clip_text(projection=True), tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(), unet=denoiser, scheduler=EulerDiscreteScheduler(),
    )  # fmt: skip


def stable_diffusion_3() -> Any:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    encoder, tokenizer = t5()
    torch.manual_seed(7)
    transformer = SD3Transformer2DModel(
        sample_size=SIDE // 2, patch_size=1, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=4, joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=64,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(shift_factor=0.1),
        text_encoder=clip_text(projection=True), tokenizer=clip_tokenizer(), text_encoder_2=clip_text(projection=True),
        tokenizer_2=clip_tokenizer(), text_encoder_3=encoder, tokenizer_3=tokenizer,
    )  # fmt: skip


def flux(kind: str = "FluxPipeline") -> Any:
    import diffusers
    import torch

    encoder, tokenizer = t5()
    torch.manual_seed(8)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8), guidance_embeds=False,
    )  # fmt: skip
    transformer.proj_out.weight.data *= 20  # Else what is written hardly matters to random weights.
    return getattr(diffusers, kind)(
        transformer=transformer, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=vae(shift_factor=0.1),
        text_encoder=clip_text(), tokenizer=clip_tokenizer(), text_encoder_2=encoder, tokenizer_2=tokenizer,
    )  # fmt: skip


BUILDERS: dict[str, Callable[[], Any]] = {
    "sd": stable_diffusion,
    "sd-strict": lambda: stable_diffusion(-2.0),
    "sd-picky": lambda: stable_diffusion(0.175),
    "pix2pix": pix2pix,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux": flux,
    "kontext": lambda: flux("FluxKontextPipeline"),
}
