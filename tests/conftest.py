"""What every test shares, and what no test covers.

Not covered here, and why:
- CUDA, bf16 on an accelerator, unsloth's kernels: no GPU where the tests run. Our side of that backend is tested up to
  the import of unsloth (tests/train/test_backend.py).
- Llama-3.1-8B-Instruct itself: 16 GB behind a licence. A random toy of its shape (own head, scaled rope, grouped
  queries, sharded bf16) goes adapter -> merge -> GGUF -> parity instead (tests/model/test_parity.py).
- Downloads from the Hugging Face hub and live streaming of its data sets: tests use no network. The reader is tested on
  local files through the same `datasets` loader (tests/data/test_own_and_hub.py), the download on a fake hub.
- Package registries: wheels are tested with local ones; tests of mined sources and of the real student use what
  `make setup` has put in the cache folder, and are skipped by name where it is empty.
- Quality figures of the 135M student (gain over student and control, parity, stop rate): they come from real runs of
  the cpu profile and stand in the README; the smoke profile claims nothing.
- Speed: only that listing, planning and a second run of `doit` are quick. Tokens a second come from real runs.
- The jail on aarch64: there is none. Its system-call filter knows x86-64 only, and elsewhere code is not evaluated.
- A kernel without user namespaces: what happens then is tested by pretending, not on such a kernel.
- Power failure: kill -9 is tested; that fsync reaches the disk is taken on trust.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from smoke_run import Smoke

os.environ["OMP_NUM_THREADS"] = "1"  # before a test loads torch: one thread gives the same bits everywhere
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for _name in ("PROFILE", "ARTIFACTS", "SET", "INLINE", "CONFIG_LOCAL"):
    os.environ.pop(_name, None)  # a caller's choice of profile must not change what is tested


@pytest.fixture(autouse=True)
def default_type() -> Iterator[None]:
    """A test that leaves torch with another default type fails, not those after it."""
    yield
    if torch := sys.modules.get("torch"):
        found = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        assert found == torch.float32, f"this test left torch's default type as {found}"


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    """The smoke profile, built once by the real doit; tests look at it and leave it as it is."""
    built = Smoke(tmp_path_factory.mktemp("smoke") / "root")
    built.build(PYTHONHASHSEED="1", TZ="Asia/Tokyo")
    return built
