"""A file's weights as a folder: what the file holds, in the rows and the precision that transformers has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf_toys import model, rows
from safetensors.torch import load_file

from lib.compress.awq_reload import logits
from lib.compress.dequantise import dequantise, from_ggml_rope
from lib.compress.ggml import rounded
from lib.compress.gguf_quantise import quantise
from lib.errors import ModelError
from lib.model import identity, weights
from lib.model.gguf_export import export, to_ggml_rope
from lib.model.llama import Gguf


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    export(model("chatml"), folder / "f32.gguf", "f32")
    export(model("chatml"), folder / "f16.gguf", "f16")
    quantise(folder / "f16.gguf", folder / "q8_0.gguf", "Q8_0", threads=1)
    return folder


def test_unrounded_weights_come_back_to_the_bit(files: Path, tmp_path: Path) -> None:
    made = dequantise(files / "f32.gguf", model("chatml"), tmp_path / "back", "back")
    old, new = load_file(model("chatml") / "model.safetensors"), load_file(tmp_path / "back/model.safetensors")
    assert made["tensors"] == len(new) and old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert identity.read(tmp_path / "back")["name"] == "back"


def test_rounded_weights_are_those_that_the_type_holds(files: Path, tmp_path: Path) -> None:
    dequantise(files / "q8_0.gguf", model("chatml"), tmp_path / "back", "back")
    old, new = load_file(model("chatml") / "model.safetensors"), load_file(tmp_path / "back/model.safetensors")
    for name in (name for name in old if name.endswith("_proj.weight")):
        wanted = rounded(old[name].half().float().numpy(), "Q8_0")
        assert np.array_equal(new[name].numpy(), wanted), name
        assert not torch.equal(new[name], old[name])


def test_the_folder_says_what_llama_cpp_says_with_the_file(files: Path, tmp_path: Path) -> None:
    dequantise(files / "f16.gguf", model("chatml"), tmp_path / "back", "back")
    ids = rows(model("chatml"))[0]
    ours = logits(weights.load(tmp_path / "back", dtype=torch.float32).eval(), [ids])[0]
    with Gguf(files / "f16.gguf", context=len(ids)) as file:
        theirs = torch.from_numpy(file.logits(ids).copy())
    assert (ours - theirs).abs().max() < 0.02
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))


def test_heads_are_turned_back() -> None:
    weight = torch.arange(48.0).reshape(16, 3)
    assert torch.equal(from_ggml_rope(to_ggml_rope(weight, 2), 2), weight)
    assert not torch.equal(to_ggml_rope(weight, 2), weight)


def test_a_file_of_another_model_is_refused(files: Path, tmp_path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "few.gguf", "llama")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="no tensor for|not its tensor"):
        dequantise(tmp_path / "few.gguf", model("chatml"), tmp_path / "back", "back")
